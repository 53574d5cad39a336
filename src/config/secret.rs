//! Secrets by reference: the file says where a secret is, never what it is.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::SecretString;
use serde::Serialize;

/// Where a secret is. Nothing here ever holds or prints the secret itself.
#[derive(Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SecretRef {
    /// An environment variable.
    Env(String),
    /// A file; a newline at its end is not part of the secret.
    File(PathBuf),
    /// A credential that systemd puts into `$CREDENTIALS_DIRECTORY` (systemd.exec(5), `LoadCredential=`).
    Credential(String),
}

impl SecretRef {
    /// Fetches the secret. Reads each time, so that a rotated file is seen.
    ///
    /// # Errors
    /// When there is nothing to fetch, or what is there is empty or not text. The error names the reference alone.
    pub fn read(&self, environment: &Environment) -> Result<SecretString, SecretError> {
        let text = match self {
            Self::Env(name) => {
                environment.get(name).ok_or_else(|| SecretError::Unset { reference: self.clone() })?
            }
            Self::File(_) | Self::Credential(_) => {
                let path = self.path(environment)?;
                std::fs::read_to_string(&path).map_err(|source| SecretError::Unreadable {
                    reference: self.clone(),
                    path,
                    source,
                })?
            }
        };
        let secret = text.strip_suffix('\n').unwrap_or(&text);
        let secret = secret.strip_suffix('\r').unwrap_or(secret);
        if secret.trim().is_empty() {
            return Err(SecretError::Empty { reference: self.clone() });
        }
        Ok(SecretString::from(secret))
    }

    /// The file that holds the secret: for what a client reads itself, such as a certificate.
    ///
    /// # Errors
    /// When the reference is not to a file, or systemd has set no directory.
    pub fn path(&self, environment: &Environment) -> Result<PathBuf, SecretError> {
        match self {
            Self::Env(_) => Err(SecretError::NoFile { reference: self.clone() }),
            Self::File(path) => Ok(path.clone()),
            Self::Credential(name) => environment
                .get(CREDENTIALS_DIRECTORY)
                .map(|directory| Path::new(&directory).join(name))
                .ok_or_else(|| SecretError::NoDirectory { reference: self.clone() }),
        }
    }

    /// What is wrong with the file's permissions, if it is a file and everybody may read it.
    ///
    /// Credentials are systemd's care, and already closed.
    #[must_use]
    pub fn exposure(&self) -> Option<String> {
        let Self::File(path) = self else { return None };
        let metadata = std::fs::metadata(path).ok()?;
        is_open(&metadata)
            .then(|| format!("the secret file {} can be read by every user of this system", path.display()))
    }
}

/// The reference, as a person would say it.
impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env(name) => write!(f, "the environment variable {name}"),
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Credential(name) => write!(f, "the systemd credential {name}"),
        }
    }
}

impl fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why there is no secret. Names the reference, never the secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The variable is not there.
    #[error("{reference} is not set")]
    Unset {
        /// Where the secret should be.
        reference: SecretRef,
    },
    /// The file cannot be read, or is not UTF-8.
    #[error("could not read {reference}{}", elsewhere(reference, path))]
    Unreadable {
        /// Where the secret should be.
        reference: SecretRef,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It is there and holds nothing.
    #[error("{reference} is empty")]
    Empty {
        /// Where the secret should be.
        reference: SecretRef,
    },
    /// Not started by systemd, or without `LoadCredential=`.
    #[error(
        "{reference} cannot be found: $CREDENTIALS_DIRECTORY is not set, so systemd passed no credentials"
    )]
    NoDirectory {
        /// Where the secret should be.
        reference: SecretRef,
    },
    /// A file is needed.
    #[error("{reference} is not a file")]
    NoFile {
        /// Where the secret should be.
        reference: SecretRef,
    },
}

/// Where that is, unless the reference says so itself.
fn elsewhere(reference: &SecretRef, path: &Path) -> String {
    match reference {
        SecretRef::File(_) => String::new(),
        SecretRef::Env(_) | SecretRef::Credential(_) => format!(" at {}", path.display()),
    }
}

/// A value that is no secret: written in the file, or left to the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Setting {
    /// Written in the file.
    Given(String),
    /// The value of this environment variable, the one that Azure's own tools read.
    Env(&'static str),
}

impl Setting {
    /// The value; `None` where the environment has none.
    #[must_use]
    pub fn read(&self, environment: &Environment) -> Option<String> {
        match self {
            Self::Given(text) => Some(text.clone()),
            Self::Env(name) => environment.get(name).filter(|value| !value.is_empty()),
        }
    }

    /// The value as written in the file.
    #[must_use]
    pub fn given(&self) -> Option<&str> {
        match self {
            Self::Given(text) => Some(text),
            Self::Env(_) => None,
        }
    }
}

/// Environment variables, as a value: the process's own, or a test's.
#[derive(Clone)]
pub struct Environment(Arc<Lookup>);

type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

impl Environment {
    /// The environment of this process.
    #[must_use]
    pub fn process() -> Self {
        Self(Arc::new(|name| std::env::var(name).ok()))
    }

    /// These variables and no others.
    pub fn of<N: Into<String>, V: Into<String>>(variables: impl IntoIterator<Item = (N, V)>) -> Self {
        let variables: std::collections::BTreeMap<String, String> =
            variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        Self(Arc::new(move |name| variables.get(name).cloned()))
    }

    /// A variable's value; `None` when it is not set or not UTF-8.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        self.0(name)
    }
}

/// Values stay out: an environment is full of secrets.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")
    }
}

#[cfg(unix)]
fn is_open(metadata: &std::fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt;
    metadata.permissions().mode() & 0o004 != 0
}

#[cfg(not(unix))]
fn is_open(_: &std::fs::Metadata) -> bool {
    false
}

/// Where systemd tells a service that its credentials are.
const CREDENTIALS_DIRECTORY: &str = "CREDENTIALS_DIRECTORY";
