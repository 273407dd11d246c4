//! Which column of a parquet file holds the images, which one classes, and what the others are.
//!
//! Hugging Face writes beside the schema what each column stands for (`Image`, `ClassLabel`); where nobody wrote it, a column
//! is known by its form, `struct<bytes, path>`, or by its name. Knows nothing of rows.

use super::page::is_unpacked;
use crate::source::SourceError;
use parquet::{
    basic::{ConvertedType, LogicalType, Repetition, Type as Physical},
    file::metadata::ParquetMetaData,
    schema::types::{SchemaDescPtr, SchemaDescriptor, Type, TypePtr},
};
use serde_json::Value;
use std::{collections::HashMap, path::Path, sync::Arc};

/// What a column of bare bytes is called if it holds images.
const NAMES: [&str; 2] = ["image", "img"];

#[derive(Debug)]
pub(super) struct Columns {
    pub image: Bytes,
    pub class: Option<Class>,
    /// What else holds bytes: masks, other images.
    pub blobs: Vec<Bytes>,
    /// All that is told in words and numbers: the rows without those bytes.
    pub told: Option<SchemaDescPtr>,
}

/// A column of bytes, by the number of its leaf; in Hugging Face's form with that of a path beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Bytes {
    pub name: String,
    pub leaf: usize,
    pub path: Option<usize>,
}

/// A column of numbers that stand for classes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Class {
    pub name: String,
    pub names: Vec<String>,
}

impl Columns {
    /// Those of a file, whose images are in the column `named` if it is named.
    pub(super) fn of(path: &Path, metadata: &ParquetMetaData, named: Option<&str>) -> Result<Self, SourceError> {
        let schema = metadata.file_metadata().schema_descr();
        let fields = schema.root_schema().get_fields();
        let features = features(metadata);
        let feature = |field: &Type| Some(features.get(field.name())?.get("_type")?.as_str()?.to_owned());
        let bytes: Vec<Option<Bytes>> = (0..fields.len()).map(|at| bytes_of(schema, at)).collect();
        let at = image_of(fields, &bytes, named, |field| feature(field).as_deref() == Some("Image"));
        let (at, image) = at.map_err(|several| refused(path, fields, named, &several))?;
        let is_class = |field: &&TypePtr| is_number(field) && feature(field).as_deref() == Some("ClassLabel");
        let mut classes = fields.iter().filter(is_class);
        let class = classes
            .next()
            .filter(|_| classes.next().is_none())
            .map(|field| Class { name: field.name().to_owned(), names: names_of(features.get(field.name())) });
        let told: Vec<TypePtr> = fields.iter().zip(&bytes).filter_map(|(field, bytes)| told_of(field, bytes)).collect();
        let told = (!told.is_empty()).then(|| projected(schema, told)).transpose();
        let told = told.map_err(|error| SourceError::Damaged { path: path.to_owned(), what: error.to_string() })?;
        let blobs = bytes.into_iter().enumerate().filter(|(other, _)| *other != at).filter_map(|(_, it)| it).collect();
        let columns = Self { image, class, blobs, told };
        columns.unpack(path, metadata)?;
        Ok(columns)
    }

    /// Whether every piece of what is read is packed in a way that is read.
    fn unpack(&self, path: &Path, metadata: &ParquetMetaData) -> Result<(), SourceError> {
        for column in metadata.row_groups().iter().flat_map(|group| group.columns()) {
            if !is_unpacked(column.compression()) {
                let (column, codec) = (column.column_path().string(), column.compression().to_string());
                return Err(SourceError::Packing { path: path.to_owned(), column, codec });
            }
        }
        Ok(())
    }

    /// Only the column of classes.
    pub(super) fn class_alone(&self) -> Option<SchemaDescPtr> {
        let (class, told) = (self.class.as_ref()?, self.told.as_ref()?);
        let field = told.root_schema().get_fields().iter().find(|field| field.name() == class.name)?;
        projected(told, vec![field.clone()]).ok()
    }

    pub(super) fn is_class(&self, name: &str) -> bool {
        self.class.as_ref().is_some_and(|class| class.name == name)
    }

    pub(super) fn is_bytes(&self, name: &str) -> bool {
        self.image.name == name || self.blobs.iter().any(|blob| blob.name == name)
    }

    /// Whether the rows tell more than classes and paths.
    pub(super) fn says_more(&self) -> bool {
        let mut told = self.told.iter().flat_map(|told| told.root_schema().get_fields());
        told.any(|field| !self.is_bytes(field.name()) && !self.is_class(field.name()))
    }

    /// The names of all that belongs to an image.
    pub(super) fn names(&self) -> Vec<String> {
        let told = self.told.iter().flat_map(|told| told.root_schema().get_fields()).map(|field| field.name());
        let told = told.filter(|name| !self.is_bytes(name));
        told.chain(self.blobs.iter().map(|blob| blob.name.as_str())).map(str::to_owned).collect()
    }
}

/// What Hugging Face's `datasets` wrote about each column.
fn features(metadata: &ParquetMetaData) -> HashMap<String, Value> {
    let notes = metadata.file_metadata().key_value_metadata().into_iter().flatten();
    let note = notes.filter(|note| note.key == "huggingface").find_map(|note| note.value.as_deref());
    let features = note.and_then(|note| serde_json::from_str::<Value>(note).ok());
    match features.as_ref().and_then(|note| note.get("info")?.get("features")?.as_object()) {
        Some(features) => features.iter().map(|(name, feature)| (name.clone(), feature.clone())).collect(),
        None => HashMap::new(),
    }
}

fn names_of(feature: Option<&Value>) -> Vec<String> {
    let names = feature.and_then(|feature| feature.get("names")?.as_array()).into_iter().flatten();
    names.map(|name| name.as_str().map_or_else(|| name.to_string(), str::to_owned)).collect()
}

/// The images' column among the fields: what is named, what is noted as images, what has their form, what has their name. All
/// of one kind as an error, if they are several or none.
fn image_of(
    fields: &[TypePtr],
    bytes: &[Option<Bytes>],
    named: Option<&str>,
    is_noted: impl Fn(&Type) -> bool,
) -> Result<(usize, Bytes), Vec<String>> {
    let of = |is_it: &dyn Fn(usize) -> bool| -> Vec<usize> {
        (0..fields.len()).filter(|&at| bytes[at].is_some() && is_it(at)).collect()
    };
    let in_form = |at: usize| fields[at].is_group();
    let kinds: [&dyn Fn(usize) -> bool; 3] =
        [&|at| is_noted(&fields[at]), &in_form, &|at| NAMES.contains(&fields[at].name().to_ascii_lowercase().as_str())];
    let found = match named {
        Some(named) => of(&|at| fields[at].name() == named),
        None => kinds.iter().map(|is_it| of(is_it)).find(|found| !found.is_empty()).unwrap_or_default(),
    };
    match found[..] {
        [only] => bytes[only].clone().map(|bytes| (only, bytes)).ok_or_else(Vec::new),
        _ => Err(found.iter().map(|&at| fields[at].name().to_owned()).collect()),
    }
}

/// Why it is not known which column holds the images.
fn refused(path: &Path, fields: &[TypePtr], named: Option<&str>, several: &[String]) -> SourceError {
    let listed = |names: &mut dyn Iterator<Item = String>| names.collect::<Vec<_>>().join(", ");
    match (named, several) {
        (Some(named), []) => SourceError::Missing { path: path.join(named) },
        (None, []) => {
            let columns = listed(&mut fields.iter().map(|field| field.name().to_owned()));
            SourceError::NoImageColumn { path: path.to_owned(), columns }
        }
        _ => {
            let names = listed(&mut several.iter().map(|name| path.join(name).display().to_string()));
            SourceError::SeveralColumns { path: path.to_owned(), names }
        }
    }
}

/// A field of bytes that are no text, alone or in the form `struct<bytes, path>`.
fn bytes_of(schema: &SchemaDescriptor, at: usize) -> Option<Bytes> {
    let field = &schema.root_schema().get_fields()[at];
    let leaves: Vec<usize> = (0..schema.num_columns()).filter(|&leaf| schema.get_column_root_idx(leaf) == at).collect();
    let name = field.name().to_owned();
    if is_repeated(field) {
        return None;
    }
    if field.is_primitive() {
        return is_bytes(field).then_some(Bytes { name, leaf: *leaves.first()?, path: None });
    }
    let members = field.get_fields();
    let of = |name: &str| members.iter().position(|member| member.name() == name && !is_repeated(member));
    let (bytes, path) = (of("bytes")?, of("path"));
    let is_all = members.len() == 1 + usize::from(path.is_some());
    let is_plain = is_all && members.iter().all(|member| member.is_primitive()) && is_bytes(&members[bytes]);
    let has_text = path.is_none_or(|path| members[path].get_physical_type() == Physical::BYTE_ARRAY);
    let path = path.and_then(|path| leaves.get(path).copied());
    (is_plain && has_text).then_some(Bytes { name, leaf: *leaves.get(bytes)?, path })
}

fn is_bytes(field: &Type) -> bool {
    let info = field.get_basic_info();
    let is_text = matches!(info.converted_type(), ConvertedType::UTF8 | ConvertedType::ENUM | ConvertedType::JSON)
        || matches!(info.logical_type_ref(), Some(LogicalType::String | LogicalType::Enum | LogicalType::Json));
    let is_number = info.converted_type() == ConvertedType::DECIMAL;
    field.get_physical_type() == Physical::BYTE_ARRAY && !is_text && !is_number
}

fn is_number(field: &Type) -> bool {
    field.is_primitive()
        && !is_repeated(field)
        && matches!(field.get_physical_type(), Physical::INT32 | Physical::INT64)
}

fn is_repeated(field: &Type) -> bool {
    let info = field.get_basic_info();
    info.has_repetition() && info.repetition() == Repetition::REPEATED
}

/// What of a field is told: all of it, of an image its path.
fn told_of(field: &TypePtr, bytes: &Option<Bytes>) -> Option<TypePtr> {
    if bytes.is_none() {
        return Some(field.clone());
    }
    let path = field.is_group().then(|| field.get_fields().iter().find(|member| member.name() == "path")).flatten()?;
    let repetition = field.get_basic_info().repetition();
    let group = Type::group_type_builder(field.name()).with_repetition(repetition).with_fields(vec![path.clone()]);
    group.build().ok().map(Arc::new)
}

fn projected(schema: &SchemaDescriptor, fields: Vec<TypePtr>) -> parquet::errors::Result<SchemaDescPtr> {
    let root = Type::group_type_builder(schema.name()).with_fields(fields).build()?;
    Ok(Arc::new(SchemaDescriptor::new(Arc::new(root))))
}
