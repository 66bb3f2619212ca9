-- Forward only: see docs/storage.md.
-- On whose behalf a turn is answered: `owner`, `client`, `webhook` or `channel`. Until now all turns came from webhooks.
ALTER TABLE turns ADD COLUMN origin TEXT NOT NULL DEFAULT 'webhook';
-- How far a claimed turn has come: JSON of what the agent said and did, empty before it did anything.
ALTER TABLE turns ADD COLUMN progress TEXT NOT NULL DEFAULT '';
