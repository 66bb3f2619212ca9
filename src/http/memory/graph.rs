//! The tags of memories as a graph: as data, and as a picture.

use crate::domain::memory::TagGraph;
use crate::domain::memory::service::Memories;
use crate::domain::text::head;
use crate::http::AppState;
use crate::http::error::{ApiError, Errors, ParameterErrors};
use crate::http::extract::{Family, Parameters};
use crate::http::landing::escaped;
use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use std::collections::HashMap;
use std::fmt::Write;
use std::sync::Arc;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Routes under `/api` and `/api/v1`.
pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(memory_graph)).routes(routes!(memory_graph_picture))
}

/// A tag.
#[derive(Serialize, ToSchema)]
struct NodeView {
    /// The tag.
    id: String,
    /// The same.
    name: String,
    /// How many memories have it.
    count: u64,
}

/// Two tags that stand at the same memories.
#[derive(Serialize, ToSchema)]
struct EdgeView {
    id: String,
    source: String,
    source_name: String,
    /// Always `together with`.
    relation: &'static str,
    target: String,
    target_name: String,
    /// At how many memories.
    count: u64,
}

/// The graph.
#[derive(Serialize, ToSchema)]
struct GraphView {
    /// The most frequent tags.
    nodes: Vec<NodeView>,
    /// The most frequent pairs of them.
    edges: Vec<EdgeView>,
}

impl From<TagGraph> for GraphView {
    fn from(graph: TagGraph) -> Self {
        let node = |(tag, count): (String, u64)| NodeView { id: tag.clone(), name: tag, count };
        let edge = |(number, (one, other, count)): (usize, (String, String, u64))| EdgeView {
            id: number.to_string(),
            source: one.clone(),
            source_name: one,
            relation: "together with",
            target: other.clone(),
            target_name: other,
            count,
        };
        Self {
            nodes: graph.tags.into_iter().map(node).collect(),
            edges: graph.pairs.into_iter().enumerate().map(edge).collect(),
        }
    }
}

async fn graph(memories: &Memories, parameters: &Parameters, family: Family) -> Result<TagGraph, ApiError> {
    let limit = parameters.limit(200, 500, family)?;
    let part = parameters.text("q").map(super::question).transpose()?.map(str::trim);
    Ok(memories.graph(part, limit).await?)
}

/// The tags of memories, and which of them stand together.
#[utoipa::path(
    get, path = "/memory/graph", tag = "memory",
    params(
        ("q" = Option<String>, Query, description = "Only tags that contain this, in any case"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 500, description = "How many tags and pairs at most; 200 unless given"),
    ),
    responses((status = 200, body = GraphView), ParameterErrors, Errors)
)]
async fn memory_graph(
    State(memories): State<Arc<Memories>>,
    family: Family,
    parameters: Parameters,
) -> Result<Json<GraphView>, ApiError> {
    Ok(Json(graph(&memories, &parameters, family).await?.into()))
}

/// The same as a picture.
#[utoipa::path(
    get, path = "/memory/graph.svg", tag = "memory",
    params(
        ("q" = Option<String>, Query, description = "Only tags that contain this, in any case"),
        ("limit" = Option<i64>, Query, minimum = 1, maximum = 500, description = "How many tags and pairs at most; 200 unless given"),
    ),
    responses((status = 200, body = String, content_type = "image/svg+xml"), ParameterErrors, Errors)
)]
async fn memory_graph_picture(
    State(memories): State<Arc<Memories>>,
    family: Family,
    parameters: Parameters,
) -> Result<Response, ApiError> {
    let picture = picture_of(&graph(&memories, &parameters, family).await?);
    Ok(([(header::CONTENT_TYPE, "image/svg+xml")], picture).into_response())
}

/// How wide and high the picture is.
const SIZE: f64 = 1_000.0;

/// How much of a tag is written, in characters.
const LABEL_CHARS: usize = 24;

/// The tags in a spiral, the most frequent in the middle, with a line between those that stand together.
fn picture_of(graph: &TagGraph) -> String {
    // The angle at which seeds of a sunflower follow each other, so that none covers another.
    const GOLDEN_ANGLE: f64 = 2.399_963;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {SIZE} {SIZE}\" font-family=\"sans-serif\" \
         font-size=\"14\" text-anchor=\"middle\" role=\"img\" aria-label=\"Tags of memories\">"
    );
    if graph.tags.is_empty() {
        let _ = write!(svg, "<text x=\"500\" y=\"500\" fill=\"#888\">No memory has a tag yet</text>");
    }
    let steps = f64::from(u32::try_from(graph.tags.len()).unwrap_or(u32::MAX));
    let places: HashMap<&str, (f64, f64)> = (0_u32..)
        .zip(&graph.tags)
        .map(|(number, (tag, _))| {
            let number = f64::from(number);
            let (radius, angle) = (SIZE * 0.44 * (number / steps).sqrt(), number * GOLDEN_ANGLE);
            (tag.as_str(), (SIZE / 2.0 + radius * angle.cos(), SIZE / 2.0 + radius * angle.sin()))
        })
        .collect();
    for (one, other, _) in &graph.pairs {
        if let (Some(from), Some(to)) = (places.get(one.as_str()), places.get(other.as_str())) {
            let _ = write!(
                svg,
                "<line x1=\"{:.0}\" y1=\"{:.0}\" x2=\"{:.0}\" y2=\"{:.0}\" stroke=\"#bbb\"/>",
                from.0, from.1, to.0, to.1
            );
        }
    }
    for (tag, count) in &graph.tags {
        let (x, y) = places[tag.as_str()];
        let radius = 4.0 + f64::from(u32::try_from(*count).unwrap_or(u32::MAX)).ln_1p() * 3.0;
        // A tag may be anything, and XML has no way to write control characters.
        let label = head(tag, LABEL_CHARS).replace(char::is_control, " ");
        let label = escaped(&label);
        let _ = write!(
            svg,
            "<circle cx=\"{x:.0}\" cy=\"{y:.0}\" r=\"{radius:.0}\" fill=\"#4a7dbd\"><title>{label}: {count}</title></circle>\
             <text x=\"{x:.0}\" y=\"{:.0}\" fill=\"#888\">{label}</text>",
            y - radius - 4.0
        );
    }
    svg.push_str("</svg>");
    svg
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_tag_gets_out_of_the_picture() {
        let hostile = "<script>\"&\u{1}".to_owned();
        let graph = TagGraph {
            tags: vec![(hostile.clone(), 3), ("home".to_owned(), 1)],
            pairs: vec![(hostile, "home".to_owned(), 1)],
        };
        let svg = picture_of(&graph);
        assert!(svg.contains("&lt;script&gt;&quot;&amp; ") && !svg.contains("<script>"));
        assert_eq!((svg.matches("<circle").count(), svg.matches("<line").count()), (2, 1));
    }

    #[test]
    fn a_picture_without_tags_says_so() {
        assert!(picture_of(&TagGraph::default()).contains("No memory has a tag yet"));
    }
}
