//! STUB
use super::*;
use crate::reconcile::round::Round;
use crate::model::record::Owner;
use crate::model::sight::Happening;
use crate::journal::Noticed;
pub fn of_round(_: &Round, _: &Owner, _: OffsetDateTime) -> Vec<Notice> { vec![] }
pub fn of_happening(_: &Handle, _: &Happening, _: Noticed, _: &[String], o: &Owner, at: OffsetDateTime) -> Notice { 
 Notice { at, topic: Topic::Address, owner: o.to_string(), subject: String::new(), title: String::new(), before: None, after: None, details: vec![], next_step: None, repeats: 0 } }
