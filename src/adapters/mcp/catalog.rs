//! The tools of a server, and whether arguments fit them.

use crate::domain::mcp::tool::{CallError, MAX_DESCRIPTION, MAX_TOOLS, Tool, ToolFilter, Tools};
use jsonschema::Validator;
use jsonschema::paths::LocationSegment;
use serde_json::{Map, Value};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

/// The longest message about arguments that repeats them, in bytes.
const MAX_MESSAGE: usize = 300;

/// No more tools are taken from a server once those that were have so many bytes.
const MAX_BYTES: usize = 8 * 1024 * 1024;

/// The tools that a server listed at a time.
pub(super) struct Catalog {
    tools: Tools,
    places: HashMap<String, usize>,
    /// Compiled when first needed. `None` is a schema that is none: the server itself must check.
    validators: Box<[OnceLock<Option<Validator>>]>,
}

impl Catalog {
    pub fn new(tools: Vec<Tool>) -> Self {
        let places = tools.iter().enumerate().map(|(place, tool)| (tool.name.clone(), place)).collect();
        let validators = tools.iter().map(|_| OnceLock::new()).collect();
        Self { tools: tools.into(), places, validators }
    }

    pub fn tools(&self) -> Tools {
        Arc::clone(&self.tools)
    }

    /// Where the tool of that name is.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.places.get(name).copied()
    }

    /// Gives the arguments back if they fit the tool's schema. Blocks for as long as that schema makes it.
    pub fn check(&self, place: usize, arguments: Map<String, Value>) -> Result<Map<String, Value>, CallError> {
        let schema = &self.tools[place].schema;
        let Some(validator) = self.validators[place].get_or_init(|| compiled(schema)) else {
            return Ok(arguments);
        };
        let arguments = Value::Object(arguments);
        let wrong = validator.validate(&arguments).err().map(|error| {
            let segments = error.instance_path().into_iter().map(|segment| match segment {
                LocationSegment::Property(name) => name.into_owned(),
                LocationSegment::Index(index) => index.to_string(),
            });
            let mut message = error.to_string();
            if message.len() > MAX_MESSAGE {
                message = error.masked().to_string();
            }
            message.truncate(message.floor_char_boundary(MAX_MESSAGE));
            CallError::Arguments { place: segments.collect(), message }
        });
        match (wrong, arguments) {
            (None, Value::Object(arguments)) => Ok(arguments),
            (None, _) => Ok(Map::new()),
            (Some(error), _) => Err(error),
        }
    }
}

/// References to other documents are not followed, so a schema that has some is not checked.
fn compiled(schema: &Map<String, Value>) -> Option<Validator> {
    // Most tools without arguments; and some give no schema at all.
    if schema.is_empty() {
        return None;
    }
    jsonschema::options().build(&Value::Object(schema.clone())).ok()
}

/// Collects the pages of a list.
#[derive(Default)]
pub(super) struct Listed {
    tools: Vec<Tool>,
    bytes: usize,
    names: HashSet<String>,
}

impl Listed {
    /// Adds a tool, unless there is one of that name, or its name is longer than any filter can say.
    pub fn add(&mut self, name: &str, description: &str, schema: Map<String, Value>, read_only: bool) {
        if self.is_full() || name.len() > ToolFilter::MAX_LEN || !self.names.insert(name.to_owned()) {
            return;
        }
        let description: String = description.chars().take(MAX_DESCRIPTION).collect();
        let schema_bytes = serde_json::to_vec(&schema).map_or(0, |json| json.len());
        self.bytes += name.len() + description.len() + schema_bytes;
        self.tools.push(Tool { name: name.to_owned(), description, schema, read_only });
    }

    /// Adds a tool as it came, if it has a name at all.
    pub fn add_raw(&mut self, tool: &mut Value) {
        let schema = match tool.get_mut("inputSchema").map(Value::take) {
            Some(Value::Object(schema)) => schema,
            _ => Map::new(),
        };
        if let Some(name) = tool["name"].as_str() {
            let read_only = tool["annotations"]["readOnlyHint"] == true;
            self.add(name, tool["description"].as_str().unwrap_or_default(), schema, read_only);
        }
    }

    /// Whether nothing more is taken.
    pub fn is_full(&self) -> bool {
        self.tools.len() >= MAX_TOOLS || self.bytes >= MAX_BYTES
    }

    pub fn into_tools(self) -> Vec<Tool> {
        self.tools
    }
}

/// Holds the newest catalog.
pub(super) struct Shelf(RwLock<Arc<Catalog>>);

impl Shelf {
    pub fn new(catalog: Catalog) -> Self {
        Self(RwLock::new(Arc::new(catalog)))
    }

    pub fn newest(&self) -> Arc<Catalog> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub fn replace(&self, catalog: Catalog) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(catalog);
    }
}

#[cfg(test)]
mod tests;
