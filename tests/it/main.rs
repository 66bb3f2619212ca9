//! Every test that needs more than one module, in one binary, so that there is one link step.

mod contract;
mod docs;
mod e2e;
mod embedding;
mod http;
mod mcp;
mod mcp_sign_in;
mod models;
mod recall;
mod support;
mod tunnel;
