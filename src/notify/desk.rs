//! STUB
use super::*;
#[derive(Debug, Default)]
pub struct Desk;
impl Desk {
    pub fn tell(&self, _: Vec<Notice>) {}
    pub fn pulse(&self, _: Pulse) {}
    pub async fn shutdown(&self, _: std::time::Duration) {}
    pub fn troubles(&self) -> Vec<String> { vec![] }
    pub fn count(&self, _: &mut std::collections::BTreeMap<(String, bool), u64>) {}
}
