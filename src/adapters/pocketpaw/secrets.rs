//! Secrets encrypted with a key that is made of what is special about a machine.

use super::files::Files;
use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit as _};
use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit};
use hmac::{Hmac, Mac};
use secrecy::SecretString;
use serde_json::{Value, json};
use sha2::Sha256;
use std::collections::BTreeMap;

/// The encrypted file.
pub(super) const NAME: &str = "secrets.enc";

/// Texts that the key is made of. Where one is not known for sure, all that it may be are tried.
#[derive(Debug, Clone, Default)]
pub struct KeyMaterial {
    /// What `/etc/machine-id` says, without white space.
    pub machines: Vec<String>,
    /// The id of the hardware.
    pub hardware: Vec<String>,
    /// The login name.
    pub logins: Vec<String>,
}

impl KeyMaterial {
    /// The id of the hardware where there is none.
    pub const NO_HARDWARE: &'static str = "NO_HARDWARE_UUID";

    /// What this machine says of itself, for the login names that are given.
    #[must_use]
    pub fn of_this_machine(logins: Vec<String>) -> Self {
        let read = |path| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned());
        let files = ["/etc/machine-id", "/var/lib/dbus/machine-id", "/proc/sys/kernel/hostname", "/etc/hostname"];
        let machine = files.into_iter().filter_map(read).find(|text| !text.is_empty());
        Self { machines: machine.into_iter().collect(), hardware: vec![Self::NO_HARDWARE.to_owned()], logins }
    }
}

const HEADER: [u8; 4] = *b"PAW\x02";

/// What is in the encrypted file.
pub(super) struct Secrets {
    /// The secrets by name.
    pub texts: BTreeMap<String, SecretString>,
    /// The names of what is no text.
    pub others: Vec<String>,
}

/// The secrets. `None` if there are none.
///
/// # Errors
/// Why they cannot be read, in words and without any of them.
pub(super) fn read(files: &Files, keys: &KeyMaterial) -> Result<Option<Secrets>, String> {
    let Some(sealed) = files.open(NAME)? else { return Ok(None) };
    let sealed = sealed.bytes()?;
    if sealed.is_empty() {
        return Ok(None);
    }
    let salt = files.open(".salt")?.ok_or("it cannot be decrypted, because .salt is missing")?.bytes()?;
    let salt = salt.get(..16).ok_or("it cannot be decrypted, because .salt has less than 16 bytes")?;
    let plain = decrypt(&sealed, salt, keys)?;
    let secrets: BTreeMap<String, Value> =
        serde_json::from_slice(&plain).map_err(|_| "what is encrypted in it is no JSON object".to_owned())?;
    let mut read = Secrets { texts: BTreeMap::new(), others: Vec::new() };
    for (name, secret) in secrets {
        match secret {
            Value::String(text) if !text.is_empty() => drop(read.texts.insert(name, text.into())),
            Value::String(_) | Value::Null => {}
            _ => read.others.push(name),
        }
    }
    Ok(Some(read))
}

/// A secret as the one member of an object.
pub(super) fn as_json(secret: &SecretString) -> SecretString {
    use secrecy::ExposeSecret;
    json!({ "value": secret.expose_secret() }).to_string().into()
}

fn decrypt(sealed: &[u8], salt: &[u8], keys: &KeyMaterial) -> Result<Vec<u8>, String> {
    let mut tried = 0;
    let is_new = sealed.starts_with(&HEADER);
    if !is_new && !sealed.starts_with(b"gAAAA") {
        return Err("it is damaged, or has a form that is not known".to_owned());
    }
    for machine in &keys.machines {
        for login in &keys.logins {
            // The old form does without the hardware.
            let hardware = if is_new { &keys.hardware[..] } else { &keys.hardware[..keys.hardware.len().min(1)] };
            for hardware in hardware {
                tried += 1;
                let opened = if is_new {
                    argon2_key(&format!("{machine}|{hardware}|{login}"), salt).and_then(|key| open(sealed, &key))
                } else {
                    open_fernet(sealed, &pbkdf2_key(&format!("{machine}|{login}"), salt))
                };
                if let Some(plain) = opened {
                    return Ok(plain);
                }
            }
        }
    }
    Err(format!(
        "it cannot be decrypted with what is known of the machine that it was made on ({tried} tried); give --machine-id and --login of that machine, or enter the secrets again"
    ))
}

/// The key of the newer form.
pub(super) fn argon2_key(material: &str, salt: &[u8]) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    let params = Params::new(64 * 1024, 3, 4, Some(key.len())).ok()?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_into(material.as_bytes(), salt, &mut key).ok()?;
    Some(key)
}

fn open(sealed: &[u8], key: &[u8; 32]) -> Option<Vec<u8>> {
    let (header, rest) = sealed.split_first_chunk::<4>()?;
    let (nonce, ciphertext) = rest.split_first_chunk::<12>()?;
    let cipher = Aes256Gcm::new(key.into());
    cipher.decrypt(nonce.into(), Payload { msg: ciphertext, aad: header }).ok()
}

/// The key of the older form.
pub(super) fn pbkdf2_key(material: &str, salt: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    // Fails for keys of an impossible length only; an HMAC takes all.
    let _ = pbkdf2::pbkdf2::<Hmac<Sha256>>(material.as_bytes(), salt, 480_000, &mut key);
    key
}

/// Opens a token of <https://github.com/fernet/spec/blob/master/Spec.md>.
pub(super) fn open_fernet(token: &[u8], key: &[u8; 32]) -> Option<Vec<u8>> {
    let token = URL_SAFE.decode(token.trim_ascii()).ok()?;
    let (signed, signature) = token.split_last_chunk::<32>()?;
    let (signing, encrypting) = key.split_first_chunk::<16>()?;
    let mut mac = Hmac::<Sha256>::new_from_slice(signing).ok()?;
    mac.update(signed);
    mac.verify_slice(signature).ok()?;
    // A byte of version, eight of time.
    let (iv, ciphertext) = signed.get(9..)?.split_first_chunk::<16>()?;
    let cipher = cbc::Decryptor::<aes::Aes128>::new_from_slices(encrypting, iv).ok()?;
    cipher.decrypt_padded_vec::<Pkcs7>(ciphertext).ok()
}
