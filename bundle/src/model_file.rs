//! Reads and replaces our document in an ONNX file, without ONNX Runtime and without its schema.
//!
//! Owns the walk over the top-level fields of a protobuf message, which is all that the metadata needs
//! (`ModelProto` of onnx.proto: `ir_version` = 1, `graph` = 7, `metadata_props` = 14 with key = 1, value = 2).
//! The network itself is skipped over, never parsed.

use std::{
    ops::Range,
    path::{Path, PathBuf},
};

use crate::{
    bounded, fingerprint,
    schema::{Document, KEY, SchemaError},
};

/// No protobuf message is larger.
pub const BYTES_MAX: u64 = (1 << 31) - 1;

const IR_VERSION: u64 = 1;
const GRAPH: u64 = 7;
const METADATA: u64 = 14;

/// A model file's document and identity.
#[derive(Clone, Debug)]
pub struct ModelFile {
    /// What its metadata says.
    pub document: Document,
    /// Of the whole file, in hexadecimal.
    pub sha256: String,
    /// Its length.
    pub bytes: u64,
}

/// A file that is no usable model.
#[derive(Debug, thiserror::Error)]
pub enum ModelFileError {
    /// Not there, or not readable.
    #[error("model {} cannot be read: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// No bytes at all.
    #[error("the file is empty; copy the model again")]
    Empty,
    /// Ends in the middle of a field.
    #[error("the file ends too early, after {have} bytes; copy the model again")]
    Truncated {
        /// Bytes there are.
        have: usize,
    },
    /// Something else.
    #[error("the file is not an ONNX model; name an .onnx file that sightline-train exported")]
    NotOnnx,
    /// An ONNX model, but none of ours.
    #[error("an ONNX model without Sightline's metadata ({KEY}); export it with sightline-train")]
    NoMetadata,
    /// Metadata that cannot be used.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

/// Reads a model file's document.
pub fn read(path: &Path) -> Result<ModelFile, ModelFileError> {
    let bytes = bounded::bytes(path, BYTES_MAX)
        .map_err(|source| ModelFileError::Read { path: path.to_path_buf(), source })?;
    read_bytes(&bytes)
}

/// Reads the document in the bytes of a model file.
pub fn read_bytes(bytes: &[u8]) -> Result<ModelFile, ModelFileError> {
    let mut json = None;
    for field in fields_of_model(bytes)? {
        if field.number == METADATA
            && let Some(value) = our_value(&bytes[field.content.clone()])
        {
            json = Some(value);
        }
    }
    let document = Document::from_json(json.ok_or(ModelFileError::NoMetadata)?)?;
    Ok(ModelFile { document, sha256: fingerprint::sha256(bytes), bytes: bytes.len() as u64 })
}

/// The same model with this document in place of the one it had, if it had one.
pub fn with_document(model: &[u8], document: &Document) -> Result<Vec<u8>, ModelFileError> {
    let json = document.to_json()?;
    let mut bytes = Vec::with_capacity(model.len() + json.len());
    for field in fields_of_model(model)? {
        let is_ours =
            field.number == METADATA && our_value(&model[field.content.clone()]).is_some();
        if !is_ours {
            bytes.extend_from_slice(&model[field.whole]);
        }
    }
    let mut entry = Vec::with_capacity(json.len() + KEY.len() + 16);
    put_bytes(&mut entry, 1, KEY.as_bytes());
    put_bytes(&mut entry, 2, json.as_bytes());
    put_bytes(&mut bytes, METADATA, &entry);
    Ok(bytes)
}

struct Field {
    number: u64,
    /// Key, length and content.
    whole: Range<usize>,
    content: Range<usize>,
}

enum WireError {
    Ends,
    Malformed,
}

/// The top-level fields of a model, all of which can be read.
fn fields_of_model(bytes: &[u8]) -> Result<impl Iterator<Item = Field>, ModelFileError> {
    if bytes.is_empty() {
        return Err(ModelFileError::Empty);
    }
    // Every ONNX file begins with its IR version; what does not is no truncated model but something else.
    if bytes[0] != u8::try_from(IR_VERSION << 3).unwrap_or_default() {
        return Err(ModelFileError::NotOnnx);
    }
    let mut has_graph = false;
    for field in fields(bytes) {
        let field = field.map_err(|error| match error {
            WireError::Ends => ModelFileError::Truncated { have: bytes.len() },
            WireError::Malformed => ModelFileError::NotOnnx,
        })?;
        has_graph |= field.number == GRAPH;
    }
    if has_graph { Ok(fields(bytes).flatten()) } else { Err(ModelFileError::NotOnnx) }
}

/// The fields of one message, in their order, up to the first that cannot be read. Never collected: a file of
/// two-byte fields would ask for twenty times its size.
fn fields(bytes: &[u8]) -> impl Iterator<Item = Result<Field, WireError>> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let field = (at < bytes.len()).then(|| field(bytes, at))?;
        at = field.as_ref().map_or(bytes.len(), |field| field.whole.end);
        Some(field)
    })
}

/// The field that begins at `start`.
fn field(bytes: &[u8], start: usize) -> Result<Field, WireError> {
    let mut at = start;
    let key = varint(bytes, &mut at)?;
    let len = match key & 7 {
        0 => {
            let from = at;
            varint(bytes, &mut at)?;
            let len = at - from;
            at = from;
            len
        }
        1 => 8,
        2 => usize::try_from(varint(bytes, &mut at)?).map_err(|_too_long| WireError::Ends)?,
        5 => 4,
        _ => return Err(WireError::Malformed),
    };
    let end = at.checked_add(len).filter(|end| *end <= bytes.len()).ok_or(WireError::Ends)?;
    Ok(Field { number: key >> 3, whole: start..end, content: at..end })
}

fn varint(bytes: &[u8], at: &mut usize) -> Result<u64, WireError> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at).ok_or(WireError::Ends)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
    Err(WireError::Malformed)
}

/// The value of a metadata entry if its key is ours.
fn our_value(entry: &[u8]) -> Option<&str> {
    let text = |number| {
        let field = fields(entry).flatten().find(|field| field.number == number)?;
        std::str::from_utf8(&entry[field.content]).ok()
    };
    if text(1)? == KEY { text(2) } else { None }
}

fn put_varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value > 0x7f {
        bytes.push(u8::try_from(value & 0x7f).unwrap_or_default() | 0x80);
        value >>= 7;
    }
    bytes.push(u8::try_from(value).unwrap_or_default());
}

fn put_bytes(bytes: &mut Vec<u8>, number: u64, content: &[u8]) {
    put_varint(bytes, number << 3 | 2);
    put_varint(bytes, content.len() as u64);
    bytes.extend_from_slice(content);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::schema::tests::document;

    /// IR version 8, a graph of some bytes, somebody else's metadata.
    fn onnx() -> Vec<u8> {
        let mut bytes = vec![0x08, 8];
        put_bytes(&mut bytes, GRAPH, &[9; 300]);
        let mut entry = Vec::new();
        put_bytes(&mut entry, 1, b"author");
        put_bytes(&mut entry, 2, b"somebody");
        put_bytes(&mut bytes, METADATA, &entry);
        bytes
    }

    #[test]
    fn a_document_goes_in_and_comes_out_and_the_rest_stays() {
        let once = with_document(&onnx(), &document()).unwrap();
        assert!(once.starts_with(&onnx()));
        let file = read_bytes(&once).unwrap();
        assert_eq!(file.document, document());
        assert_eq!(file.bytes, once.len() as u64);
        let mut other = document();
        other.model.version = "2".into();
        let twice = with_document(&once, &other).unwrap();
        assert_eq!(read_bytes(&twice).unwrap().document, other);
        assert_eq!(twice.len(), once.len());
    }

    #[test]
    fn what_is_no_model_is_told_apart() {
        let check = |bytes: &[u8], expected: &str| {
            let error = read_bytes(bytes).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        check(b"", "empty");
        check(b"\x89PNG\r\n", "not an ONNX model");
        check(&[0x08, 8], "not an ONNX model");
        check(&onnx(), "without Sightline's metadata");
        let model = with_document(&onnx(), &document()).unwrap();
        check(&model[..model.len() - 1], "ends too early");
        check(&model[..200], "ends too early");
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(read_bytes(&bytes).is_err());
            let model = [&[0x08, 8], &*bytes].concat();
            prop_assert!(read_bytes(&model).is_err());
        }

        #[test]
        fn no_damage_makes_the_reader_panic(at in 0_usize..3000, byte in any::<u8>()) {
            let mut model = with_document(&onnx(), &document()).unwrap();
            let at = at % model.len();
            model[at] = byte;
            // Read or refused; a changed grey value in the graph is the golden frames' to find.
            drop(read_bytes(&model));
        }
    }
}
