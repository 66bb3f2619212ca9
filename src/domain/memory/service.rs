//! Remembering, finding again, and forgetting.

use super::embedding::EmbeddingProgress;
use super::{
    Author, Memory, MemoryChange, MemoryCounts, MemoryFilter, MemoryId, MemoryKind, MemoryText, Owner, Owners, Source,
    TagGraph, Tags, credentials, ranking, words,
};
use crate::domain::audit::Happening;
use crate::domain::audit::service::Audit;
use crate::domain::auth::Principal;
use crate::domain::id;
use crate::domain::settings::memory::MemorySettings;
use crate::domain::settings::service::Settings;
use crate::domain::text::PageLimit;
use crate::ports::clock::Clock;
use crate::ports::entropy::{Entropy, random};
use crate::ports::memory::MemoryStore;
use crate::ports::recall::{Embedders, Purpose, Recall, RecallError, SemanticRecall};
use crate::ports::store::StoreError;
use crate::ports::timer::Timer;
use futures_util::future::{Either, join, select};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// How many of each way of finding are put together.
const FOUND_EACH: usize = 50;

/// How long finding by meaning may take; what was found by words is not kept waiting for longer.
const MEANING_LIMIT: Duration = Duration::from_secs(5);

/// How long a model gets to show that it makes vectors. One on this machine may have to be loaded first.
const CHECK_LIMIT: Duration = Duration::from_secs(20);

/// From which [`words::likeness`] on two facts say the same.
const SAME: f64 = 0.7;

/// How many are removed in one transaction, which others wait for.
const REMOVED_AT_ONCE: i64 = 200;

/// What memories work with.
pub struct MemoriesParts {
    /// Where they are kept.
    pub store: Arc<dyn MemoryStore>,
    /// Finds them by their words.
    pub lexical: Arc<dyn Recall>,
    /// Finds them by their meaning.
    pub semantic: Arc<dyn SemanticRecall>,
    /// Opens what makes vectors, to see whether it can.
    pub embedders: Arc<dyn Embedders>,
    /// What the user chose.
    pub settings: Arc<Settings>,
    /// Where changes are noted.
    pub audit: Arc<Audit>,
    /// What time it is.
    pub clock: Arc<dyn Clock>,
    /// Ends what takes too long.
    pub timer: Arc<dyn Timer>,
    /// Where ids come from.
    pub entropy: Arc<dyn Entropy>,
}

/// Something to remember.
#[derive(Debug, Clone)]
pub struct NewMemory {
    /// Whose it is.
    pub owner: Owner,
    /// What it says.
    pub text: MemoryText,
    /// Its tags.
    pub tags: Tags,
    /// Where it comes from.
    pub source: Source,
}

/// Why something is not remembered.
#[derive(Debug, Error)]
pub enum NotRemembered {
    /// It holds what looks like a credential: this.
    #[error(
        "this is not remembered, because it looks like {0}: memories are shown to models; keep it in a password manager, and remember where it is instead"
    )]
    Credential(&'static str),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What became of something to remember once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remembered {
    /// It is a new memory.
    New(Memory),
    /// It took the place of what this memory said before.
    Updated(Memory),
    /// This memory says so already.
    Known(Memory),
}

impl Remembered {
    /// The memory.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        match self {
            Self::New(memory) | Self::Updated(memory) | Self::Known(memory) => memory,
        }
    }
}

/// What there is to say about all memories.
#[derive(Debug, Clone)]
pub struct MemoryStats {
    /// What was chosen.
    pub settings: Arc<MemorySettings>,
    /// How many there are.
    pub counts: MemoryCounts,
    /// How far making vectors has come.
    pub embedding: EmbeddingProgress,
    /// Their tags.
    pub graph: TagGraph,
}

/// The memories.
pub struct Memories {
    parts: MemoriesParts,
    /// Held while something is remembered once: what it is compared with must still be so when it is stored.
    once: futures_util::lock::Mutex<()>,
}

impl Memories {
    /// Memories made of these parts.
    #[must_use]
    pub fn new(parts: MemoriesParts) -> Self {
        let memories = Self { parts, once: futures_util::lock::Mutex::new(()) };
        memories.follow_settings();
        memories
    }

    /// Takes the model that makes vectors from the settings. To be called when they may have changed.
    pub fn follow_settings(&self) {
        self.parts.semantic.choose(self.parts.settings.memory().embedder.clone());
    }

    /// Whether the model that was chosen makes vectors: what is wrong, in a sentence for the user, or `None`.
    pub async fn embedder_problem(&self) -> Option<String> {
        let settings = self.parts.settings.memory();
        if settings.problem.is_some() {
            return settings.problem.clone();
        }
        let choice = settings.embedder.as_ref()?;
        let check = async {
            let embedder = self.parts.embedders.open(choice).await?;
            embedder.embed(&["Is anybody there?"], Purpose::Question).await
        };
        match select(pin!(check), self.parts.timer.sleep(CHECK_LIMIT)).await {
            Either::Left((made, _)) => made.err().map(|error| error.to_string()),
            Either::Right(_) => Some(format!("{choice} gave no vector within {} seconds", CHECK_LIMIT.as_secs())),
        }
    }

    /// The memories that the filter takes, newest first.
    ///
    /// # Errors
    /// As the store's.
    pub async fn page(&self, filter: &MemoryFilter, limit: PageLimit, offset: u64) -> Result<Vec<Memory>, StoreError> {
        self.parts.store.page(filter, limit, offset).await
    }

    /// Puts a memory down.
    ///
    /// # Errors
    /// [`NotRemembered`]
    pub async fn remember(&self, principal: &Principal, new: NewMemory) -> Result<Memory, NotRemembered> {
        refuse_credentials(new.text.as_str(), &new.tags)?;
        let now = self.parts.clock.now();
        let memory = Memory {
            id: MemoryId::new(id::time_ordered(now, random(&*self.parts.entropy))),
            legacy_id: None,
            kind: MemoryKind::LongTerm,
            owner: new.owner,
            text: new.text,
            tags: new.tags,
            created: now,
            changed: now,
            source: new.source,
        };
        let happening = Happening::success(principal, "memory_added", memory.id.as_str());
        let entry = self.parts.audit.entry(noted(happening, &memory.source));
        self.parts.store.insert(&memory, &entry).await?;
        self.parts.semantic.changed(&memory.id);
        Ok(memory)
    }

    /// Puts a memory down, unless one of the same owner says the same: then that one stays, or says from now on what is new
    /// about it. `replaces` names the memory that it takes the place of, if whoever remembers knows that.
    ///
    /// # Errors
    /// [`NotRemembered`]
    pub async fn remember_once(
        &self,
        principal: &Principal,
        new: NewMemory,
        replaces: Option<&MemoryId>,
    ) -> Result<Remembered, NotRemembered> {
        refuse_credentials(new.text.as_str(), &new.tags)?;
        let _once = self.once.lock().await;
        let Some(mut memory) = self.same(&new, replaces).await? else {
            return Ok(Remembered::New(self.remember(principal, new).await?));
        };
        let mut tags: Vec<&str> = memory.tags.as_slice().iter().map(String::as_str).collect();
        tags.extend(new.tags.as_slice().iter().map(String::as_str));
        let tags = Tags::parse(tags).unwrap_or_else(|_| memory.tags.clone());
        if memory.text == new.text && memory.tags == tags {
            return Ok(Remembered::Known(memory));
        }
        let change = MemoryChange { text: Some((new.text, new.source)), tags: Some(tags), at: self.parts.clock.now() };
        if !self.change(principal, &memory.id, &change).await? {
            return Err(NotRemembered::Store(StoreError::Conflict));
        }
        if let (Some((text, source)), Some(tags)) = (change.text, change.tags) {
            memory = Memory { text, source, tags, changed: change.at, ..memory };
        }
        Ok(Remembered::Updated(memory))
    }

    /// The memory that says the same, or that is to be replaced.
    async fn same(&self, new: &NewMemory, replaces: Option<&MemoryId>) -> Result<Option<Memory>, StoreError> {
        let owners = Owners::Of(new.owner.clone());
        if let Some(id) = replaces {
            let known = self.parts.store.get(std::slice::from_ref(id), &owners).await?.pop();
            if known.is_some() {
                return Ok(known);
            }
        }
        let found = self.found(new.text.as_str(), &owners, 10).await?;
        let likeness = |memory: &Memory| words::likeness(memory.text.as_str(), new.text.as_str());
        let facts = found.into_iter().filter(|memory| memory.kind == MemoryKind::LongTerm);
        let alike = facts.map(|memory| (likeness(&memory), memory)).filter(|(alike, _)| *alike >= SAME);
        Ok(alike.max_by(|one, other| one.0.total_cmp(&other.0)).map(|(_, memory)| memory))
    }

    /// Changes what a memory says, or its tags. False if there is none of that name.
    ///
    /// # Errors
    /// [`NotRemembered`]
    pub async fn edit(
        &self,
        principal: &Principal,
        id: &MemoryId,
        text: Option<MemoryText>,
        tags: Option<Tags>,
    ) -> Result<bool, NotRemembered> {
        refuse_credentials(text.as_ref().map_or("", MemoryText::as_str), tags.as_ref().unwrap_or(&Tags::default()))?;
        let text = text.map(|text| (text, Source::by(Author::User)));
        Ok(self.change(principal, id, &MemoryChange { text, tags, at: self.parts.clock.now() }).await?)
    }

    async fn change(&self, principal: &Principal, id: &MemoryId, change: &MemoryChange) -> Result<bool, StoreError> {
        let Some(memory) = self.parts.store.find(id).await? else { return Ok(false) };
        let happening = Happening::success(principal, "memory_changed", memory.id.as_str());
        let happening = match &change.text {
            Some((_, source)) => noted(happening, source),
            None => happening,
        };
        let changed = self.parts.store.change(&memory.id, change, &self.parts.audit.entry(happening)).await?;
        self.parts.semantic.changed(&memory.id);
        Ok(changed)
    }

    /// Removes a memory with everything that was made of it. False if there is none of that name.
    ///
    /// # Errors
    /// As the store's.
    pub async fn remove(&self, principal: &Principal, id: &MemoryId) -> Result<bool, StoreError> {
        let Some(memory) = self.parts.store.find(id).await? else { return Ok(false) };
        let entry = self.parts.audit.entry(Happening::success(principal, "memory_removed", memory.id.as_str()));
        let removed = self.parts.store.remove(&memory.id, &entry).await?;
        self.parts.semantic.removed(Some(&memory.id));
        Ok(removed)
    }

    /// Removes everything that is remembered of somebody, daily notes of theirs included. Gives how much that was.
    ///
    /// # Errors
    /// As the store's; a part may be removed then, and the rest is when it is called again.
    pub async fn remove_all_of(&self, principal: &Principal, owner: Owner) -> Result<u64, StoreError> {
        let happening = Happening::success(principal, "memories_removed", owner.as_str());
        self.remove_all(&MemoryFilter::of(Owners::Of(owner)), happening).await
    }

    /// Removes daily notes that are older than so many days. Gives how many that were.
    ///
    /// # Errors
    /// As the store's; a part may be removed then, and the rest is when it is called again.
    pub async fn prune(&self, principal: &Principal, days: u32) -> Result<u64, StoreError> {
        let age = Duration::from_secs(u64::from(days) * 24 * 60 * 60);
        let filter = MemoryFilter {
            kind: Some(MemoryKind::Daily),
            created_before: Some(self.parts.clock.now().minus(age)),
            ..MemoryFilter::of(Owners::All)
        };
        let happening = Happening::success(principal, "memories_pruned", "daily").with("older_than_days", days);
        self.remove_all(&filter, happening).await
    }

    async fn remove_all(&self, filter: &MemoryFilter, happening: Happening) -> Result<u64, StoreError> {
        let limit = PageLimit::clamped(REMOVED_AT_ONCE);
        let mut entry = Some(self.parts.audit.entry(happening));
        let mut total = 0;
        loop {
            let removed = self.parts.store.remove_some(filter, limit, entry.take().as_ref()).await;
            // Whatever happens to the rest, what is gone must not be found.
            self.parts.semantic.removed(None);
            let removed = removed?;
            total += removed;
            if removed < limit.get() as u64 {
                return Ok(total);
            }
        }
    }

    /// What may help to answer a question, the best first: found by words and, if that is possible now, by meaning.
    ///
    /// # Errors
    /// As the store's.
    pub async fn recall(&self, question: &str, owners: &Owners, limit: usize) -> Result<Vec<Memory>, StoreError> {
        self.found(question, owners, limit).await
    }

    async fn found(&self, question: &str, owners: &Owners, limit: usize) -> Result<Vec<Memory>, StoreError> {
        let each = limit.max(FOUND_EACH);
        let by_meaning = async {
            let recall = self.parts.semantic.recall(question, owners, each);
            match select(recall, self.parts.timer.sleep(MEANING_LIMIT)).await {
                Either::Left((found, _)) => found,
                Either::Right(_) => Err(RecallError::NotNow("the model that makes vectors took too long".to_owned())),
            }
        };
        let (by_words, by_meaning) = join(self.parts.lexical.recall(question, owners, each), by_meaning).await;
        let by_words = match by_words {
            Ok(found) => found,
            Err(RecallError::Store(error)) => return Err(error),
            Err(RecallError::NotNow(_)) => Vec::new(),
        };
        let by_meaning = by_meaning.unwrap_or_else(|error| {
            tracing::debug!(%error, "memories are found by their words only");
            Vec::new()
        });
        let ids = ranking::fuse(&[by_words, by_meaning], limit);
        self.parts.store.get(&ids, owners).await
    }

    /// What there is to say about all memories.
    ///
    /// # Errors
    /// As the store's.
    pub async fn stats(&self) -> Result<MemoryStats, StoreError> {
        Ok(MemoryStats {
            settings: self.parts.settings.memory(),
            counts: self.parts.store.counts().await?,
            embedding: self.parts.semantic.progress().await?,
            graph: self.parts.store.graph(None, PageLimit::clamped(i64::from(PageLimit::MAX))).await?,
        })
    }

    /// The most frequent tags, or those that contain `part` in any case, and which of them stand together.
    ///
    /// # Errors
    /// As the store's.
    pub async fn graph(&self, part: Option<&str>, limit: PageLimit) -> Result<TagGraph, StoreError> {
        let part = part.map(crate::domain::text::fold);
        self.parts.store.graph(part.as_deref().filter(|part| !part.is_empty()), limit).await
    }
}

fn noted(happening: Happening, source: &Source) -> Happening {
    let happening = happening.with("author", source.author.as_str());
    match &source.session {
        Some(session) => happening.with("session", session.as_str()),
        None => happening,
    }
}

fn refuse_credentials(text: &str, tags: &Tags) -> Result<(), NotRemembered> {
    let mut all = std::iter::once(text).chain(tags.as_slice().iter().map(String::as_str));
    match all.find_map(credentials::find) {
        Some(what) => Err(NotRemembered::Credential(what)),
        None => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests;
