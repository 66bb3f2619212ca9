//! Bytes as hexadecimal digits in JSON.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What is written in this way.
pub(super) trait Bytes: Sized {
    fn digits(&self) -> Option<String>;
    fn of(bytes: Option<Vec<u8>>) -> Option<Self>;
}

impl Bytes for Vec<u8> {
    fn digits(&self) -> Option<String> {
        Some(hex::encode(self))
    }

    fn of(bytes: Option<Vec<u8>>) -> Option<Self> {
        bytes
    }
}

impl Bytes for Option<Vec<u8>> {
    fn digits(&self) -> Option<String> {
        self.as_ref().map(hex::encode)
    }

    fn of(bytes: Option<Vec<u8>>) -> Option<Self> {
        Some(bytes)
    }
}

pub(super) fn serialize<T: Bytes, S: Serializer>(bytes: &T, serializer: S) -> Result<S::Ok, S::Error> {
    bytes.digits().serialize(serializer)
}

pub(super) fn deserialize<'de, T: Bytes, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let digits: Option<String> = Deserialize::deserialize(deserializer)?;
    let bytes = digits.map(hex::decode).transpose().map_err(serde::de::Error::custom)?;
    T::of(bytes).ok_or_else(|| serde::de::Error::custom("bytes are missing"))
}
