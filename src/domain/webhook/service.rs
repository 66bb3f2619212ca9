//! Keeping slots, and taking deliveries.

use super::payload::{self, Payload, PayloadRejected};
use super::signature::{self, ProofHeaders};
use super::{Scheme, SessionMode, SyncTimeout, Webhook, WebhookName, WebhookSecret};
use crate::domain::agent::service::{Agent, Submission, SubmitError};
use crate::domain::agent::waiting::OnReply;
use crate::domain::agent::{DeduplicationKey, Origin, TurnId};
use crate::domain::audit::Happening;
use crate::domain::audit::service::{Audit, PerMinute};
use crate::domain::auth::{CredentialKind, Principal};
use crate::domain::session::{Metadata, SessionId};
use crate::ports::clock::Clock;
use crate::ports::entropy::{Entropy, random};
use crate::ports::store::StoreError;
use crate::ports::webhooks::WebhookStore;
use serde_json::{Map, json};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use thiserror::Error;

/// A slot that somebody wants.
#[derive(Debug, Clone)]
pub struct NewWebhook {
    /// Its name.
    pub name: WebhookName,
    /// What it is for.
    pub description: String,
    /// How the sender will prove itself.
    pub scheme: Scheme,
    /// Where deliveries go.
    pub session: SessionMode,
    /// How long `wait=true` waits.
    pub sync_timeout: SyncTimeout,
}

/// Why a slot was not added.
#[derive(Debug, Error)]
pub enum AddWebhook {
    /// The name is taken.
    #[error("Webhook '{}' already exists", .0.as_str())]
    Exists(WebhookName),
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
}

/// A delivery as it came. Has no `Debug`: it holds secrets.
pub struct Delivery<'a> {
    /// Where it came from.
    pub from: IpAddr,
    /// The slot's name as the sender wrote it.
    pub slot: &'a str,
    /// What may hold a proof.
    pub headers: ProofHeaders<'a>,
    /// The body, byte for byte: signatures cover it.
    pub body: &'a [u8],
}

/// A delivery that is stored and will be answered.
#[derive(Debug, Clone)]
pub struct Accepted {
    /// Names it. The same again for a delivery that was repeated.
    pub request_id: TurnId,
    /// How long a sender who waits should be kept waiting.
    pub sync_timeout: SyncTimeout,
}

/// Why a delivery was not taken.
#[derive(Debug, Error)]
pub enum Refused {
    /// No such slot, or no valid proof: one answer for both.
    #[error("Invalid webhook secret or signature")]
    Proof,
    /// The body is no delivery.
    #[error(transparent)]
    Payload(PayloadRejected),
    /// Too many deliveries wait for an answer.
    #[error("Too many deliveries are waiting for an answer; try again later")]
    QueueFull,
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
}

/// The webhook slots.
pub struct Webhooks {
    store: Arc<dyn WebhookStore>,
    agent: Arc<Agent>,
    audit: Arc<Audit>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    /// Stands in for the secret of a slot that does not exist, so that its refusal takes the same work.
    decoy: WebhookSecret,
    full: Mutex<PerMinute>,
}

impl Webhooks {
    /// Slots over a store; deliveries go to `agent`.
    #[must_use]
    pub fn new(
        store: Arc<dyn WebhookStore>,
        agent: Arc<Agent>,
        audit: Arc<Audit>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        let decoy = WebhookSecret::generate(random(&*entropy), Scheme::Any);
        Self { store, agent, audit, clock, entropy, decoy, full: Mutex::default() }
    }

    /// All slots, by creation.
    ///
    /// # Errors
    /// As the store's.
    pub async fn list(&self) -> Result<Vec<Webhook>, StoreError> {
        self.store.list().await
    }

    /// Adds a slot with a fresh secret.
    ///
    /// # Errors
    /// [`AddWebhook::Exists`] if the name is taken; nothing was changed then.
    pub async fn add(&self, principal: &Principal, new: NewWebhook) -> Result<Webhook, AddWebhook> {
        let webhook = Webhook {
            secret: WebhookSecret::generate(random(&*self.entropy), new.scheme),
            name: new.name,
            description: new.description,
            scheme: new.scheme,
            session: new.session,
            sync_timeout: new.sync_timeout,
            created: self.clock.now(),
        };
        let happening = Happening::success(principal, "webhook_added", webhook.name.as_str())
            .with("scheme", webhook.scheme.as_str());
        match self.store.insert(&webhook, &self.audit.entry(happening)).await {
            Ok(()) => Ok(webhook),
            Err(StoreError::Conflict) => Err(AddWebhook::Exists(webhook.name)),
            Err(error) => Err(AddWebhook::Store(error)),
        }
    }

    /// Removes a slot. False if there is no such slot.
    ///
    /// # Errors
    /// As the store's.
    pub async fn remove(&self, principal: &Principal, name: &WebhookName) -> Result<bool, StoreError> {
        let entry = self.audit.entry(Happening::success(principal, "webhook_removed", name.as_str()));
        self.store.remove(name, &entry).await
    }

    /// Gives a slot a new secret; the old one is worth nothing from then on. `None` if there is no such slot.
    ///
    /// # Errors
    /// As the store's.
    pub async fn regenerate_secret(
        &self,
        principal: &Principal,
        name: &WebhookName,
    ) -> Result<Option<WebhookSecret>, StoreError> {
        let Some(webhook) = self.store.find(name).await? else { return Ok(None) };
        let secret = WebhookSecret::generate(random(&*self.entropy), webhook.scheme);
        let entry = self.audit.entry(Happening::success(principal, "webhook_secret_regenerated", name.as_str()));
        let changed = self.store.set_secret(name, &secret, &entry).await?;
        Ok(changed.then_some(secret))
    }

    /// Takes a delivery. When this returns, the delivery is stored. `on_reply`, if given, is called once with the answer;
    /// for a repeated delivery with the answer to the first.
    ///
    /// # Errors
    /// [`Refused`] says why; nothing was stored then.
    pub async fn accept(&self, delivery: Delivery<'_>, on_reply: Option<OnReply>) -> Result<Accepted, Refused> {
        let (webhook, signed_id) = self.prove(&delivery).await?;
        let payload = payload::parse(&webhook.name, delivery.body).map_err(Refused::Payload)?;
        let key = signed_id.map(|id| DeduplicationKey::new(webhook.name.as_str(), &id)).transpose();
        let key = key.map_err(|_| Refused::Proof)?;

        let submission = self.submission(&webhook, payload, key);
        let request_id = match self.agent.submit(submission, on_reply).await {
            Ok(turn) => turn,
            Err(SubmitError::QueueFull) => {
                let left_out = self.full.lock().unwrap_or_else(PoisonError::into_inner).count(self.clock.now(), 1);
                if let Some(left_out) = left_out {
                    let capacity = self.agent.limits().queue_capacity;
                    tracing::warn!(capacity, left_out, "deliveries are refused: too many wait for an answer");
                }
                return Err(Refused::QueueFull);
            }
            Err(SubmitError::Store(error)) => return Err(Refused::Store(error)),
        };
        Ok(Accepted { request_id, sync_timeout: webhook.sync_timeout })
    }

    /// Finds the slot and checks the proof. A slot that does not exist gives the same answer, after the same checks.
    async fn prove(&self, delivery: &Delivery<'_>) -> Result<(Webhook, Option<String>), Refused> {
        let now = self.clock.now();
        let found = match WebhookName::parse(delivery.slot) {
            Ok(name) => self.store.find(&name).await.map_err(Refused::Store)?,
            Err(_) => None,
        };
        let (scheme, secret) = match &found {
            Some(webhook) => (webhook.scheme, &webhook.secret),
            None => (Scheme::Any, &self.decoy),
        };
        let proof = signature::verify(scheme, secret, &delivery.headers, delivery.body, now);
        match (found, proof) {
            (Some(webhook), Ok(proof)) => Ok((webhook, proof.signed_id)),
            (found, _) => {
                self.audit_refusal(delivery.from, found.as_ref()).await;
                Err(Refused::Proof)
            }
        }
    }

    async fn audit_refusal(&self, from: IpAddr, slot: Option<&Webhook>) {
        // A name that is no slot's is the stranger's text, and may be anything: a secret in the wrong place for instance.
        let target = slot.map_or("(no such slot)", |webhook| webhook.name.as_str());
        let from = from.to_string();
        let happening = Happening::refused("webhook", "webhook_refused", target).with("address", from.as_str());
        self.audit.record_refusal(&from, happening).await;
    }

    fn submission(&self, webhook: &Webhook, payload: Payload, key: Option<DeduplicationKey>) -> Submission {
        let id = self.agent.new_turn_id();
        let slot = webhook.name.as_str();
        let chat = match webhook.session {
            SessionMode::Delivery => id.as_str(),
            SessionMode::Slot => slot,
        };
        #[expect(clippy::expect_used, reason = "a slot's name and a turn's id are both made of allowed characters")]
        let session = SessionId::parse(&format!("webhook_{chat}")).expect("a valid session id");
        let metadata = json!({
            "source": "webhook",
            "webhook": slot,
            "request_id": id.as_str(),
            "sender": payload.sender,
            "media_urls": payload.media_urls,
            "metadata": payload.metadata,
        });
        let credential = Principal::without_grant(CredentialKind::WebhookSecret, slot);
        Submission {
            origin: Origin::Webhook,
            happening: Happening::success(&credential, "webhook_accepted", slot).with("request_id", id.as_str()),
            metadata: Metadata::of(metadata.as_object().unwrap_or(&Map::new())),
            text: payload.text,
            id,
            session,
            key,
        }
    }
}
