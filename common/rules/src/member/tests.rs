//! Situations of one member.
