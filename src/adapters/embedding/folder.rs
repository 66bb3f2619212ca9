//! A sentence-transformers model in a folder, run in this process: BERT with mean pooling, such as all-MiniLM-L6-v2.
//!
//! Read are `config.json`, `tokenizer.json` and `model.safetensors`, as such models are published
//! (<https://www.sbert.net/docs/sentence_transformer/usage/custom_models.html>). Nothing is fetched.

use crate::domain::memory::embedding::{SpaceName, Vector, normalized};
use crate::ports::recall::{Embedder, EmbeddingError, Purpose};
use async_trait::async_trait;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use sha2::{Digest, Sha256};
use std::path::Path;
use std::sync::Arc;
use tokenizers::{PaddingParams, Tokenizer, TruncationParams};
use tokio::sync::Semaphore;

/// The largest file of weights that is read into memory, in bytes.
const MAX_WEIGHTS: u64 = 2 * 1024 * 1024 * 1024;

/// How many tokens of a text count, unless the model takes fewer. all-MiniLM-L6-v2 was trained with 256.
const MAX_TOKENS: usize = 256;

/// How many texts are run through the model at once. More take more memory and not less time.
const AT_ONCE: usize = 8;

/// A model that was read.
pub(super) struct Folder {
    model: Arc<Model>,
    space: SpaceName,
    /// One at a time: a run uses every core by itself.
    turn: Arc<Semaphore>,
}

struct Model {
    bert: BertModel,
    tokenizer: Tokenizer,
}

impl Folder {
    /// Reads the model. Takes a moment.
    pub fn open(folder: &Path) -> Result<Self, EmbeddingError> {
        let shown = folder.display();
        let read = |name: &str| {
            let path = folder.join(name);
            let is_large = path.metadata().is_ok_and(|metadata| metadata.len() > MAX_WEIGHTS);
            if is_large {
                return Err(EmbeddingError(format!("{name} in {shown} has more than 2 GiB, which is not read.")));
            }
            std::fs::read(path).map_err(|error| {
                EmbeddingError(format!(
                    "{shown} is no folder with a sentence-transformers model: {name} cannot be read ({error}). It needs \
                     config.json, tokenizer.json and model.safetensors."
                ))
            })
        };
        let odd = |name: &str| EmbeddingError(format!("{name} in {shown} is not what this program can use."));
        let (config_bytes, tokens_bytes, weights) =
            (read("config.json")?, read("tokenizer.json")?, read("model.safetensors")?);
        let hash = Sha256::new().chain_update(&config_bytes).chain_update(&tokens_bytes).chain_update(&weights);
        let space = SpaceName(format!("folder {}", hex::encode(&hash.finalize()[..16])));
        let config: Config = serde_json::from_slice(&config_bytes).map_err(|_| odd("config.json"))?;
        let mut tokenizer = Tokenizer::from_bytes(&tokens_bytes).map_err(|_| odd("tokenizer.json"))?;
        let max_length = MAX_TOKENS.min(config.max_position_embeddings);
        let truncation = TruncationParams { max_length, ..TruncationParams::default() };
        tokenizer.with_padding(Some(PaddingParams::default()));
        tokenizer.with_truncation(Some(truncation)).map_err(|_| odd("tokenizer.json"))?;
        let weights = VarBuilder::from_buffered_safetensors(weights, DType::F32, &Device::Cpu);
        let bert = weights.and_then(|weights| BertModel::load(weights, &config)).map_err(|error| {
            tracing::warn!(%error, "the weights of an embedding model cannot be used");
            odd("model.safetensors")
        })?;
        Ok(Self { model: Arc::new(Model { bert, tokenizer }), space, turn: Arc::new(Semaphore::new(1)) })
    }
}

impl Model {
    fn embed(&self, texts: &[String]) -> anyhow::Result<Vec<Vector>> {
        let mut vectors = Vec::with_capacity(texts.len());
        for texts in texts.chunks(AT_ONCE) {
            let encodings = self.tokenizer.encode_batch(texts.to_vec(), true).map_err(anyhow::Error::from_boxed)?;
            let stack = |of: &dyn Fn(&tokenizers::Encoding) -> Vec<u32>| -> candle_core::Result<Tensor> {
                let rows: candle_core::Result<Vec<Tensor>> =
                    encodings.iter().map(|encoding| Tensor::new(of(encoding), &Device::Cpu)).collect();
                Tensor::stack(&rows?, 0)
            };
            let ids = stack(&|encoding| encoding.get_ids().to_vec())?;
            let mask = stack(&|encoding| encoding.get_attention_mask().to_vec())?;
            let tokens = self.bert.forward(&ids, &ids.zeros_like()?, Some(&mask))?;
            // The mean over the tokens of the text, without the padding.
            let mask = mask.to_dtype(DType::F32)?.unsqueeze(2)?;
            let sums = tokens.broadcast_mul(&mask)?.sum(1)?;
            let means = sums.broadcast_div(&mask.sum(1)?)?;
            for vector in means.to_vec2::<f32>()? {
                vectors.push(normalized(vector).ok_or_else(|| anyhow::anyhow!("a vector without a direction"))?);
            }
        }
        Ok(vectors)
    }
}

#[async_trait]
impl Embedder for Folder {
    fn space(&self) -> SpaceName {
        self.space.clone()
    }

    async fn embed(&self, texts: &[&str], _purpose: Purpose) -> Result<Vec<Vector>, EmbeddingError> {
        let failed = |error: &dyn std::fmt::Display| {
            tracing::warn!(%error, "an embedding model failed");
            EmbeddingError("The model in the folder gave no vectors; the log of the server has the reason.".to_owned())
        };
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let (model, turn) = (Arc::clone(&self.model), Arc::clone(&self.turn));
        let turn = turn.acquire_owned().await.map_err(|error| failed(&error))?;
        let embedded = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            model.embed(&texts)
        });
        embedded.await.map_err(|error| failed(&error))?.map_err(|error| failed(&error))
    }
}
