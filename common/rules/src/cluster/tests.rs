//! Situations of a cluster.
