//! Who this data is: an id made once with the data directory, by which clients know that they still talk to the same
//! data. A file of its own, so that copies and backups of the directory carry it.

use std::fs;
use std::io;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use uuid::Uuid;

use super::directory::write_durably;
use super::error::OpenError;

/// Characters of an id: 16 bytes in base64.
const LEN: usize = 22;

/// The id in this file; a new one if there is none yet.
pub(super) fn load_or_make(file: &Path) -> Result<String, OpenError> {
    let io_error = |action| move |source| OpenError::Io { action, path: file.to_owned(), source };
    match fs::read_to_string(file) {
        Ok(text) => {
            let id = text.trim_end();
            if id.len() != LEN || !id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) {
                let detail = format!(
                    "its file `cluster-id` holds no id; restore it from a backup, or delete it to get a new one \
                     (Kafka clients that are connected then see another cluster; found {} bytes)",
                    text.len()
                );
                let path = file.parent().unwrap_or(file).to_owned();
                return Err(OpenError::Format { path, detail });
            }
            Ok(id.to_owned())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let id = new_id();
            write_durably(file, format!("{id}\n").as_bytes()).map_err(io_error("cannot write it"))?;
            Ok(id)
        }
        Err(source) => Err(io_error("cannot read it")(source)),
    }
}

/// As Kafka writes its ids. None begins with `-`, which command lines would take for an option.
fn new_id() -> String {
    loop {
        let id = URL_SAFE_NO_PAD.encode(Uuid::new_v4().as_bytes());
        if !id.starts_with('-') {
            return id;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_made_once_and_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cluster-id");
        let made = load_or_make(&file).unwrap();
        assert_eq!(made.len(), LEN);
        assert_eq!(load_or_make(&file).unwrap(), made);
    }

    #[test]
    fn a_file_without_an_id_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("cluster-id");
        fs::write(&file, "something else\n").unwrap();
        assert!(matches!(load_or_make(&file).unwrap_err(), OpenError::Format { .. }));
    }
}
