//! What is remembered: reading, writing, searching, forgetting.

mod graph;
mod settings;
mod view;

use crate::domain::memory::service::{Memories, NewMemory, NotRemembered};
use crate::domain::memory::{Author, MemoryFilter, MemoryId, MemoryKind, MemoryText, Owner, Owners, Source, Tags};
use crate::domain::text::{PageLimit, fold};
use crate::http::AppState;
use crate::http::error::{ApiError, BodyErrors, ErrorBody, Errors, ParameterErrors};
use crate::http::extract::{ApiJson, ApiPath, Family, Parameters};
use crate::http::gate::Caller;
use crate::http::work::to_the_end;
use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use std::sync::Arc;
use tokio_util::task::TaskTracker;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use view::{DeletedView, DoneView, MemoryView, PrunedView, StatsView};

/// Routes under `/api` and `/api/v1`.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list_memories, add_memory, delete_memories_of))
        .routes(routes!(edit_memory, delete_memory))
        .routes(routes!(search_memories))
        .routes(routes!(memory_stats))
        .routes(routes!(prune_memories))
        .merge(settings::routes())
        .merge(graph::routes())
}

/// The longest question, in characters.
const MAX_QUESTION: usize = 2_000;

fn not_found() -> ApiError {
    ApiError::not_found("Memory entry not found")
}

/// A text that is no id names no memory.
fn memory_id(text: &str) -> Result<MemoryId, ApiError> {
    MemoryId::parse(text).map_err(|_| not_found())
}

fn refused(why: NotRemembered) -> ApiError {
    match why {
        NotRemembered::Credential(_) => ApiError::invalid("value_error", &["body", "content"], why.to_string()),
        NotRemembered::Store(error) => error.into(),
    }
}

impl Parameters {
    fn owners(&self) -> Result<Owners, ApiError> {
        match self.text("owner").filter(|owner| !owner.is_empty()) {
            None => Ok(Owners::All),
            Some(owner) => owner_of("query", owner).map(Owners::Of),
        }
    }
}

fn owner_of(place: &str, text: &str) -> Result<Owner, ApiError> {
    Owner::parse(text).map_err(|why| ApiError::invalid("string_error", &[place, "owner"], format!("owner {why}")))
}

/// What is remembered, newest first.
///
/// All conditions hold at once. Of everybody, unless an owner is named; `default` is the one who runs the server.
#[utoipa::path(
    get, path = "/memory/long_term", tag = "memory",
    params(
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 500, description = "How many at most; 50 unless given"),
        ("offset" = Option<i64>, Query, minimum = 0, description = "How many to leave out first"),
        ("tag" = Option<String>, Query, description = "Only those with this tag"),
        ("owner" = Option<String>, Query, description = "Only those of this owner"),
        ("q" = Option<String>, Query, description = "Only those that contain this text, in any case; at most 2000 characters"),
        ("kind" = Option<String>, Query, description = "`long_term` (unless given), `daily`, or `all`"),
    ),
    responses((status = 200, body = [MemoryView]), ParameterErrors, Errors)
)]
async fn list_memories(
    State(memories): State<Arc<Memories>>,
    family: Family,
    parameters: Parameters,
) -> Result<Json<Vec<MemoryView>>, ApiError> {
    let limit = parameters.limit(50, 500, family)?;
    let offset = parameters.bounded("offset", 0, 0, i64::MAX, family)?.unsigned_abs();
    let given = |name: &str| parameters.text(name).filter(|text| !text.trim().is_empty());
    let kind = match given("kind").unwrap_or("long_term") {
        "all" => None,
        name => Some(MemoryKind::parse(name).ok_or_else(|| {
            ApiError::invalid("value_error", &["query", "kind"], "Input should be long_term, daily or all")
        })?),
    };
    let tag = given("tag").map(Tags::parse_one).transpose();
    let tag = tag.map_err(|why| ApiError::invalid("string_error", &["query", "tag"], format!("tag {why}")))?;
    let text = given("q").map(question).transpose()?.map(fold);
    let filter = MemoryFilter { kind, tag, text, ..MemoryFilter::of(parameters.owners()?) };
    let page = memories.page(&filter, limit, offset).await?;
    Ok(Json(page.into_iter().map(MemoryView::from).collect()))
}

/// A text that may be looked for.
fn question(text: &str) -> Result<&str, ApiError> {
    let is_right = !text.contains('\0') && text.chars().count() <= MAX_QUESTION;
    let wrong = || format!("String should have at most {MAX_QUESTION} characters and no NUL");
    if is_right { Ok(text) } else { Err(ApiError::invalid("string_error", &["query", "q"], wrong())) }
}

/// Something to remember.
#[derive(Deserialize, ToSchema)]
struct NewBody {
    /// 1 to 10,000 characters; white space around it is left out. Not what looks like a password or key.
    #[serde(default)]
    #[schema(required = true, nullable = false, max_length = 10_000, example = "Works from Lisbon")]
    content: Option<String>,
    /// At most 50, each of 1 to 100 characters.
    #[serde(default)]
    tags: Option<Vec<String>>,
    /// Whose it is; `default`, the one who runs the server, unless given.
    #[serde(default)]
    owner: Option<String>,
}

fn content(text: &str) -> Result<MemoryText, ApiError> {
    let place = ["body", "content"];
    MemoryText::parse(text).map_err(|why| ApiError::invalid("string_error", &place, format!("content {why}")))
}

fn tags(tags: &[String]) -> Result<Tags, ApiError> {
    let tags = Tags::parse(tags.iter().map(String::as_str));
    tags.map_err(|why| ApiError::invalid("value_error", &["body", "tags"], why))
}

/// Remembers something. It can be found as soon as this is answered.
#[utoipa::path(
    post, path = "/memory/long_term", tag = "memory", request_body = NewBody,
    responses((status = 200, body = MemoryView), BodyErrors, Errors)
)]
async fn add_memory(
    State(memories): State<Arc<Memories>>,
    Caller(principal): Caller,
    ApiJson(body): ApiJson<NewBody>,
) -> Result<Json<MemoryView>, ApiError> {
    let new = NewMemory {
        owner: body.owner.as_deref().map_or(Ok(Owner::me()), |owner| owner_of("body", owner))?,
        text: content(body.content.as_deref().unwrap_or_default())?,
        tags: tags(&body.tags.unwrap_or_default())?,
        source: Source::by(Author::User),
    };
    let memory = memories.remember(&principal, new).await.map_err(refused)?;
    Ok(Json(memory.into()))
}

/// Forgets everything that is remembered of one owner, daily notes of theirs included.
#[utoipa::path(
    delete, path = "/memory/long_term", tag = "memory",
    params(("owner" = String, Query, description = "Whose memories")),
    responses((status = 200, body = DeletedView), ParameterErrors, Errors)
)]
async fn delete_memories_of(
    State(memories): State<Arc<Memories>>,
    State(tasks): State<TaskTracker>,
    Caller(principal): Caller,
    parameters: Parameters,
) -> Result<Json<DeletedView>, ApiError> {
    // Nobody deletes everything by leaving something out.
    let owner = owner_of("query", parameters.text("owner").unwrap_or_default())?;
    let work = async move { memories.remove_all_of(&principal, owner).await };
    let deleted = to_the_end(&tasks, work).await??;
    Ok(Json(DeletedView { ok: true, deleted }))
}

/// What becomes of a memory.
#[derive(Deserialize, ToSchema)]
struct EditBody {
    /// What it says from now on; stays as it is if not given.
    #[serde(default)]
    #[schema(max_length = 10_000)]
    content: Option<String>,
    /// Its tags from now on; stay as they are if not given.
    #[serde(default)]
    tags: Option<Vec<String>>,
}

/// Changes what a memory says, or its tags. Its id and the time of its creation stay.
#[utoipa::path(
    patch, path = "/memory/long_term/{id}", tag = "memory", request_body = EditBody,
    params(("id" = String, Path, description = "The memory, by its id or the one it had in PocketPaw")),
    responses(
        (status = 200, body = DoneView),
        (status = 404, body = ErrorBody, description = "No such memory"),
        BodyErrors, Errors,
    )
)]
async fn edit_memory(
    State(memories): State<Arc<Memories>>,
    Caller(principal): Caller,
    ApiPath(id): ApiPath,
    ApiJson(body): ApiJson<EditBody>,
) -> Result<Json<DoneView>, ApiError> {
    let text = body.content.as_deref().map(content).transpose()?;
    let tags = body.tags.as_deref().map(tags).transpose()?;
    match memories.edit(&principal, &memory_id(&id)?, text, tags).await.map_err(refused)? {
        true => Ok(DoneView::OK),
        false => Err(not_found()),
    }
}

/// Forgets a memory, with everything that was made of it. No other changes.
#[utoipa::path(
    delete, path = "/memory/long_term/{id}", tag = "memory",
    params(("id" = String, Path, description = "The memory, by its id or the one it had in PocketPaw")),
    responses((status = 200, body = DoneView), (status = 404, body = ErrorBody, description = "No such memory"), Errors)
)]
async fn delete_memory(
    State(memories): State<Arc<Memories>>,
    Caller(principal): Caller,
    ApiPath(id): ApiPath,
) -> Result<Json<DoneView>, ApiError> {
    match memories.remove(&principal, &memory_id(&id)?).await? {
        true => Ok(DoneView::OK),
        false => Err(not_found()),
    }
}

/// What may help to answer a question, the best first: found by its words and, if that is switched on, by its meaning.
#[utoipa::path(
    get, path = "/memory/search", tag = "memory",
    params(
        ("q" = Option<String>, Query, description = "The question, at most 2000 characters; a blank one finds nothing"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 100, description = "How many at most; 10 unless given"),
        ("owner" = Option<String>, Query, description = "Only those that this owner may see: theirs, and those of `shared`"),
    ),
    responses((status = 200, body = [MemoryView]), ParameterErrors, Errors)
)]
async fn search_memories(
    State(memories): State<Arc<Memories>>,
    family: Family,
    parameters: Parameters,
) -> Result<Json<Vec<MemoryView>>, ApiError> {
    let limit: PageLimit = parameters.limit(10, 100, family)?;
    let question = question(parameters.text("q").unwrap_or_default())?;
    let owners = match parameters.owners()? {
        Owners::Of(owner) => Owners::SeenBy(owner),
        others => others,
    };
    let found = memories.recall(question, &owners, limit.get()).await?;
    Ok(Json(found.into_iter().map(MemoryView::from).collect()))
}

/// How many memories there are, and how they are found.
#[utoipa::path(get, path = "/memory/stats", tag = "memory", responses((status = 200, body = StatsView), Errors))]
async fn memory_stats(State(memories): State<Arc<Memories>>) -> Result<Json<StatsView>, ApiError> {
    Ok(Json(memories.stats().await?.into()))
}

/// Which daily notes to remove.
#[derive(Deserialize, ToSchema)]
struct PruneBody {
    /// Older than so many days; taken into the bounds of 1 and 3650. 30 unless given.
    #[serde(default)]
    #[schema(example = 30)]
    older_than_days: Option<i64>,
}

/// Removes daily notes that are older than so many days. Facts stay.
#[utoipa::path(
    post, path = "/memory/prune", tag = "memory", request_body = PruneBody,
    responses((status = 200, body = PrunedView), BodyErrors, Errors)
)]
async fn prune_memories(
    State(memories): State<Arc<Memories>>,
    State(tasks): State<TaskTracker>,
    Caller(principal): Caller,
    ApiJson(body): ApiJson<PruneBody>,
) -> Result<Json<PrunedView>, ApiError> {
    let older_than_days = u32::try_from(body.older_than_days.unwrap_or(30).clamp(1, 3650)).unwrap_or(30);
    let work = async move { memories.prune(&principal, older_than_days).await };
    let pruned = to_the_end(&tasks, work).await??;
    Ok(Json(PrunedView { ok: true, older_than_days, deleted_daily_memories: pruned }))
}
