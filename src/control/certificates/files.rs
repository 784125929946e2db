//! The files of certificates on disk: which they are, what is in them, who may read them.
//!
//! What is read is limited in size and number. Errors name no content. Tested with `certificates`.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{Context, SHA256};

use crate::control::config::file::Tls;
use crate::tls::names::Source;

/// Longest file: lists of revoked certificates may be long.
const FILE_BYTES_MAX: u64 = 32 << 20;
/// Certificates in one directory.
const DIRECTORY_COUNT_MAX: usize = 10_000;

/// The files of one certificate.
#[derive(Debug, Clone)]
pub struct Place {
    pub source: Source,
    pub chain: PathBuf,
    /// `None` = the key is in the chain's file.
    pub key: Option<PathBuf>,
}

/// Reads files, and remembers what it has read.
pub struct Reader(Context);

impl Default for Reader {
    fn default() -> Reader {
        Reader(Context::new(&SHA256))
    }
}

impl Reader {
    /// # Errors
    /// The predicate of a sentence about the file.
    pub fn read(&mut self, path: &Path) -> Result<Vec<u8>, String> {
        let fault = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => "does not exist".to_owned(),
            io::ErrorKind::PermissionDenied => {
                "cannot be read: the user that limpet runs as needs the right to".to_owned()
            }
            _ => format!("cannot be read: {error}"),
        };
        let file = File::open(path).map_err(fault)?;
        let is_file = file.metadata().map_err(fault)?.is_file();
        if !is_file {
            return Err("is no file".into());
        }
        let mut bytes = Vec::new();
        file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(fault)?;
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if size > FILE_BYTES_MAX {
            return Err(format!("is longer than {} MiB", FILE_BYTES_MAX >> 20));
        }
        let path = path.as_os_str().as_encoded_bytes();
        self.0.update(&u64::try_from(path.len()).unwrap_or(u64::MAX).to_be_bytes());
        self.0.update(path);
        self.0.update(&size.to_be_bytes());
        self.0.update(&bytes);
        Ok(bytes)
    }

    /// SHA-256 of the names and contents of all that was read.
    pub fn digest(&self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.0.clone().finish().as_ref());
        bytes
    }
}

/// Where a presenter's certificates are.
#[derive(Debug)]
pub struct Places {
    pub listed: Vec<Place>,
    /// By name; in place of them, the predicate of a sentence about the directory.
    pub directory: Result<Vec<Place>, String>,
    /// The certificate that an authority has issued.
    pub issued: Option<Place>,
}

/// Looks where the certificates of these settings are; `issued` is the file of the one that an authority issues.
pub fn places(tls: &Tls, issued: Option<PathBuf>) -> Places {
    let listed = tls.certificates.iter().map(|files| Place {
        source: Source::Listed,
        chain: files.chain.clone(),
        key: files.key.clone(),
    });
    Places {
        listed: listed.collect(),
        directory: tls.directory.as_deref().map_or(Ok(Vec::new()), in_directory),
        issued: issued.filter(|chain| chain.exists()).map(|chain| Place {
            source: Source::Acme,
            chain,
            key: None,
        }),
    }
}

fn in_directory(directory: &Path) -> Result<Vec<Place>, String> {
    let mut chains = Vec::new();
    let fault = |error: io::Error| format!("cannot be read as a directory: {error}");
    for entry in fs::read_dir(directory).map_err(fault)? {
        let chain = entry.map_err(fault)?.path();
        // Editors and tools that write beside the file begin their names with a dot.
        let is_hidden =
            chain.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b"."));
        if !is_hidden && chain.extension().is_some_and(|extension| extension == "pem") {
            chains.push(chain);
        }
        if chains.len() > DIRECTORY_COUNT_MAX {
            return Err(format!("has more than {DIRECTORY_COUNT_MAX} certificates"));
        }
    }
    chains.sort();
    let place = |chain: PathBuf| {
        let key = Some(chain.with_extension("key")).filter(|key| key.exists());
        Place { source: Source::Directory, chain, key }
    };
    Ok(chains.into_iter().map(place).collect())
}

/// Whether every user of the machine may read it.
pub fn is_readable_by_all(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o004 != 0)
}
