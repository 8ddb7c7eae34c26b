//! How often and how patiently a registry is asked again.

use std::time::Duration;

use super::error::RegistryError;

/// How often a request is tried, and how long is waited in between.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// Tries, the first included.
    pub attempts: u32,
    /// Wait after the first try; it doubles with each.
    pub first_wait: Duration,
    /// Longest wait, also where the registry asks for a longer one.
    pub longest_wait: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempts: 5,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(20),
        }
    }
}

/// One request's tries.
pub(super) struct Retry {
    patience: Patience,
    tried: u32,
}

impl Retry {
    pub(super) fn new(patience: Patience) -> Self {
        Self { patience, tried: 0 }
    }

    /// Whether to try again after `error`; waits if so.
    pub(super) async fn allows(&mut self, error: &RegistryError) -> bool {
        if !error.is_transient() || !self.wait(error.retry_after()).await {
            return false;
        }
        tracing::warn!(attempt = self.tried, error = %super::error::chain(error), "registry request is tried again");
        true
    }

    /// Waits for the next try; false when there is none.
    pub(super) async fn wait(&mut self, asked: Option<Duration>) -> bool {
        self.tried += 1;
        if self.tried >= self.patience.attempts {
            return false;
        }
        let doubled = self.patience.first_wait.saturating_mul(1 << (self.tried - 1).min(16));
        tokio::time::sleep(asked.unwrap_or(doubled).min(self.patience.longest_wait)).await;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn tries_are_bounded_and_waits_too() {
        let patience = Patience {
            attempts: 3,
            first_wait: Duration::from_millis(1),
            longest_wait: Duration::from_millis(2),
        };
        let mut retry = Retry::new(patience);
        assert!(retry.wait(None).await);
        assert!(retry.wait(Some(Duration::from_secs(3600))).await);
        assert!(!retry.wait(None).await);
    }
}
