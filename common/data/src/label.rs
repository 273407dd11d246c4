//! What is known of an image besides its pixels. Carried, never interpreted: what a label means is the user's.

use serde::{Deserialize, Serialize};

/// The label of one image, in the form in which the data set brings it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Label {
    /// The sub-folder it lies in, or its entry in an idx labels file or in an array of whole numbers.
    Class { index: u32, name: String },
    /// Files of the same stem beside it, relative to the source's root, sorted.
    Sidecars(Vec<String>),
    /// Members of a tar that share its key: what follows the key and its dot, as they lie.
    Members(Vec<String>),
    /// Its record in each of these arrays, by their names.
    Arrays(Vec<String>),
    /// Its row of the table: (column, text) in the table's order, the file column included.
    Row(Vec<(String, String)>),
}

impl Label {
    /// The text of a table column, if this label is a row that has it.
    #[must_use]
    pub fn field(&self, column: &str) -> Option<&str> {
        match self {
            Self::Row(fields) => fields.iter().find(|(name, _)| name == column).map(|(_, text)| text.as_str()),
            Self::Class { .. } | Self::Sidecars(_) | Self::Members(_) | Self::Arrays(_) => None,
        }
    }

    #[must_use]
    pub fn kind(&self) -> LabelKind {
        match self {
            Self::Class { .. } => LabelKind::Class,
            Self::Sidecars(_) => LabelKind::Sidecar,
            Self::Members(_) => LabelKind::Member,
            Self::Arrays(_) => LabelKind::Array,
            Self::Row(_) => LabelKind::Row,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LabelKind {
    Class,
    Sidecar,
    Member,
    Array,
    Row,
}
