//! How a command ended.

use std::process::ExitCode;

use crate::reconcile::round::Outcome;

/// The exit codes, a contract for scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// 0: in sync, or made so and verified.
    InSync,
    /// 1: failed.
    Failed,
    /// 2: the command line or the configuration is at fault; nothing was done.
    Usage,
    /// 3: changes are pending.
    Pending,
    /// 4: a guard refused.
    Refused,
    /// 5: applied, and not verified in time.
    Unverified,
    /// 6: some of it failed, or could not be confirmed.
    Partial,
}

impl Exit {
    /// The word for it in JSON: that of the round that would end so. A mistake of usage is a failure.
    pub(crate) fn outcome(self) -> Outcome {
        match self {
            Self::InSync => Outcome::InSync,
            Self::Failed | Self::Usage => Outcome::Failed,
            Self::Pending => Outcome::Pending,
            Self::Refused => Outcome::Refused,
            Self::Unverified => Outcome::Unverified,
            Self::Partial => Outcome::Partial,
        }
    }

    /// The number that the process ends with.
    #[must_use]
    pub fn code(self) -> u8 {
        match self {
            Self::InSync => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Pending => 3,
            Self::Refused => 4,
            Self::Unverified => 5,
            Self::Partial => 6,
        }
    }
}

impl From<Outcome> for Exit {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::InSync | Outcome::Changed => Self::InSync,
            Outcome::Pending => Self::Pending,
            Outcome::Unverified => Self::Unverified,
            Outcome::Refused => Self::Refused,
            Outcome::Partial => Self::Partial,
            Outcome::Failed => Self::Failed,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
