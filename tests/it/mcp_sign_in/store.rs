//! A storage for one server, which fails on demand.

use async_trait::async_trait;
use pawport::domain::audit::AuditEntry;
use pawport::domain::mcp::sign_in::SignedIn;
use pawport::domain::mcp::{McpServer, McpServerName};
use pawport::ports::mcp::McpServerStore;
use pawport::ports::store::StoreError;
use secrecy::SecretString;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

pub struct OneServer {
    server: Mutex<McpServer>,
    sign_in: Mutex<Option<SecretString>>,
    /// Nothing can be read or written.
    pub is_down: AtomicBool,
    /// Nothing can be written.
    pub is_read_only: AtomicBool,
}

impl OneServer {
    pub fn new(server: McpServer) -> Self {
        Self {
            server: Mutex::new(server),
            sign_in: Mutex::default(),
            is_down: AtomicBool::new(false),
            is_read_only: AtomicBool::new(false),
        }
    }

    /// Stores what another product left.
    pub fn import(&self, grant: &str) {
        *self.sign_in.lock().unwrap() = Some(SecretString::from(grant));
    }

    pub fn sign_out(&self) {
        *self.sign_in.lock().unwrap() = None;
    }

    /// Another address under the same name.
    pub fn replace(&self, server: McpServer) {
        *self.server.lock().unwrap() = server;
        self.sign_out();
    }

    fn check(&self, writes: bool) -> Result<(), StoreError> {
        if self.is_down.load(Ordering::SeqCst) || writes && self.is_read_only.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("unplugged".into()));
        }
        Ok(())
    }
}

#[async_trait]
impl McpServerStore for OneServer {
    async fn sign_in(&self, _: &McpServerName) -> Result<Option<SecretString>, StoreError> {
        self.check(false)?;
        Ok(self.sign_in.lock().unwrap().clone())
    }

    async fn set_sign_in(&self, signed_in: &SignedIn, _: Option<&AuditEntry>) -> Result<bool, StoreError> {
        self.check(true)?;
        if self.server.lock().unwrap().transport.url() != Some(&signed_in.url) {
            return Ok(false);
        }
        *self.sign_in.lock().unwrap() = Some(signed_in.grant.clone());
        Ok(true)
    }

    async fn put(&self, _: &McpServer, _: &AuditEntry) -> Result<(), StoreError> {
        unreachable!()
    }

    async fn find(&self, _: &McpServerName) -> Result<Option<McpServer>, StoreError> {
        unreachable!()
    }

    async fn list(&self) -> Result<Vec<McpServer>, StoreError> {
        unreachable!()
    }

    async fn set_enabled(&self, _: &McpServerName, _: bool, _: &AuditEntry) -> Result<bool, StoreError> {
        unreachable!()
    }

    async fn remove(&self, _: &McpServerName, _: &AuditEntry) -> Result<bool, StoreError> {
        unreachable!()
    }

    async fn remove_sign_in(&self, _: &McpServerName, _: &AuditEntry) -> Result<bool, StoreError> {
        unreachable!()
    }
}
