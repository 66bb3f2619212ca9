//! Finding the authorization server of an MCP server (RFC 9728, RFC 8414), and becoming its client.

use super::grant::Client;
use super::words::{cleaned, undiscovered, unregistered, unusable};
use crate::domain::mcp::RemoteUrl;
use crate::domain::mcp::sign_in::SignInError;
use rmcp::transport::auth::{AuthorizationManager, AuthorizationMetadata, OAuthClientConfig};
use serde_json::Value;
use url::Url;

/// Under which name authorization servers know us and show us to users.
const CLIENT_NAME: &str = "Pawport";

/// An authorization server, found and looked over.
pub(super) struct Discovered {
    pub manager: AuthorizationManager,
    pub issuer: String,
    pub revocation_endpoint: Option<String>,
    metadata: AuthorizationMetadata,
}

/// Looks for the authorization server of `url`. `rmcp` checks that the metadata belong to the server and to their issuer,
/// that no address is private unless the server's own is, and that redirects stay where they are.
pub(super) async fn discover(url: &RemoteUrl, challenge: Option<&str>) -> Result<Discovered, SignInError> {
    let manager = AuthorizationManager::new(url.expose()).await;
    let mut manager = manager.map_err(|error| unusable(undiscovered(error)))?;
    let resolution = manager.resolve_metadata_from_challenge(challenge).await;
    let resolution = resolution.map_err(|error| unusable(undiscovered(error)))?;
    if !resolution.source.is_discovered() {
        return Err(unusable("the MCP server does not say which it is, and publishes no metadata of its own"));
    }
    let mut metadata = resolution.metadata;
    let issuer = metadata.issuer.clone().ok_or_else(|| unusable("its metadata does not say whose it is"))?;
    let is_secure = url.expose().starts_with("https:");
    check_endpoint(&metadata.authorization_endpoint, is_secure)?;
    check_endpoint(&metadata.token_endpoint, is_secure)?;
    if let Some(endpoint) = &metadata.registration_endpoint {
        check_endpoint(endpoint, is_secure)?;
    }
    let revocation_endpoint = metadata.additional_fields.get("revocation_endpoint").and_then(Value::as_str);
    let revocation_endpoint = revocation_endpoint.map(str::to_owned);
    if let Some(endpoint) = &revocation_endpoint {
        check_endpoint(endpoint, is_secure)?;
    }
    // Large, and of no use here.
    metadata.additional_fields.retain(|name, _| !name.ends_with("_policy_uri") && name != "claims_supported");
    manager.set_metadata(metadata.clone());
    Ok(Discovered { manager, issuer, revocation_endpoint, metadata })
}

/// Tokens and codes travel over TLS, unless the MCP server itself is spoken to in the clear anyway. The browser is sent to
/// one of these, so nothing else than a page will do.
fn check_endpoint(endpoint: &str, is_secure: bool) -> Result<(), SignInError> {
    match Url::parse(endpoint) {
        Ok(url) if url.scheme() == "https" => Ok(()),
        Ok(url) if url.scheme() == "http" && !is_secure => Ok(()),
        _ => Err(unusable(format!("its metadata names an address that is not https: {}", cleaned(endpoint, &[])))),
    }
}

impl Discovered {
    /// Refuses what does not say that it checks S256 (RFC 7636): without, whoever gets hold of a code can use it. The
    /// specification wants silence taken for a no.
    pub fn demand_s256(&self) -> Result<(), SignInError> {
        let methods = self.metadata.code_challenge_methods_supported.as_deref().unwrap_or_default();
        if methods.iter().any(|method| method == "S256") {
            Ok(())
        } else {
            Err(unusable("it does not support PKCE with S256, which the MCP specification demands"))
        }
    }

    /// Whether it takes the address of a document that describes the client in the place of a registered one.
    pub fn takes_documents(&self) -> bool {
        self.says("client_id_metadata_document_supported")
    }

    /// Whether it always says in its answers who it is (RFC 9207).
    pub fn names_itself(&self) -> bool {
        self.says("authorization_response_iss_parameter_supported")
    }

    fn says(&self, member: &str) -> bool {
        self.metadata.additional_fields.get(member).and_then(Value::as_bool) == Some(true)
    }

    /// Becomes a client that the authorization server knows.
    pub fn become_client(&mut self, client: &Client, redirect_uri: &str) -> Result<(), SignInError> {
        let mut config = OAuthClientConfig::new(&client.id, redirect_uri).with_application_type(kind(redirect_uri));
        if let Some(secret) = &client.secret {
            config = config.with_client_secret(secret);
        }
        self.manager.configure_client(config).map_err(|_| unusable("its metadata names an address that is none"))
    }

    /// Becomes a client that the authorization server did not know (RFC 7591).
    pub async fn register(&mut self, redirect_uri: &str, scopes: &[&str]) -> Result<Client, SignInError> {
        if self.metadata.registration_endpoint.is_none() {
            return Err(unusable("it does not let clients register themselves"));
        }
        // Tells the library which kind of application registers.
        let nobody = Client { id: String::new(), secret: None, redirect_uri: None, secret_in_body: false };
        self.become_client(&nobody, redirect_uri)?;
        let registered = self.manager.register_client(CLIENT_NAME, redirect_uri, scopes).await;
        let registered = registered.map_err(|error| unusable(unregistered(&error)))?;
        Ok(Client {
            id: registered.client_id,
            secret: registered.client_secret,
            redirect_uri: Some(redirect_uri.to_owned()),
            secret_in_body: self.wants_secret_in_body(),
        })
    }

    /// As the library decides it for tokens.
    fn wants_secret_in_body(&self) -> bool {
        let methods = self.metadata.additional_fields.get("token_endpoint_auth_methods_supported");
        let has = |wanted: &str| {
            methods.and_then(Value::as_array).is_some_and(|methods| methods.iter().any(|method| method == wanted))
        };
        has("client_secret_post") && !has("client_secret_basic")
    }
}

/// What `OpenID Connect` calls an application whose users come back to such an address: `native` ones may use `http`, and only
/// to this machine.
fn kind(redirect_uri: &str) -> &'static str {
    if redirect_uri.starts_with("https:") { "web" } else { "native" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_are_pages_over_tls_unless_the_server_itself_is_not() {
        assert!(check_endpoint("https://as.example/token", true).is_ok());
        assert!(check_endpoint("http://127.0.0.1/token", false).is_ok());
        for (endpoint, is_secure) in [
            ("http://as.example/token", true),
            ("javascript:alert(1)", false),
            ("file:///etc/passwd", false),
            ("/token", false),
            ("", true),
        ] {
            assert!(check_endpoint(endpoint, is_secure).is_err(), "{endpoint}");
        }
    }
}
