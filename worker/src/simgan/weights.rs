//! Tensors to safetensors and back: equal tensors give equal bytes. Knows names, shapes and kinds, not what they mean.

use super::flat::Place;
use crate::learner::LearnError;
use safetensors::{Dtype, SafeTensors, serialize, tensor::TensorView};
use std::collections::HashMap;
use tch::{Device, Kind, TchError, Tensor};

/// A tensor under its name in a file.
pub(crate) type Named = (String, Tensor);

/// One file. `note` is its whole metadata, one key and its text: with a second key the crate's hash map would put them in
/// an order of its own each time.
pub(crate) fn write(tensors: &[Named], note: (&str, String)) -> Result<Vec<u8>, LearnError> {
    let shelves = tensors.iter().map(|(name, tensor)| Shelf::of(name, tensor)).collect::<Result<Vec<_>, _>>()?;
    let views = shelves
        .iter()
        .map(|shelf| Ok((shelf.name, TensorView::new(shelf.dtype, shelf.shape.clone(), &shelf.bytes)?)))
        .collect::<Result<Vec<_>, _>>();
    let metadata = HashMap::from([(note.0.to_owned(), note.1)]);
    views
        .and_then(|views| serialize(views, Some(metadata)))
        .map_err(|error| LearnError::Engine { attempt: "writing tensors as safetensors", reason: error.to_string() })
}

/// The extents of a table in a file.
pub(crate) fn extent(saved: &[u8], name: &str) -> Result<[i64; 2], LearnError> {
    let misfit = |why: String| LearnError::Misfit(why);
    let file = SafeTensors::deserialize(saved).map_err(|error| misfit(format!("not a safetensors file: {error}")))?;
    let view = file.tensor(name).map_err(|_| misfit(format!("it holds no `{name}`")))?;
    match view.shape() {
        [rows, columns] => Ok([*rows as i64, *columns as i64]),
        other => Err(misfit(format!("`{name}` is {other:?}, which is no table"))),
    }
}

/// The tensors of a file, each as the present one of the same name is shaped, in the present ones' order, and the text of
/// `note`. A tensor missing, left over or of another shape or kind is a misfit.
pub(crate) fn read(saved: &[u8], present: &[Named], note: &str) -> Result<(Vec<Tensor>, String), LearnError> {
    let misfit = |why: String| LearnError::Misfit(why);
    let file = SafeTensors::deserialize(saved).map_err(|error| misfit(format!("not a safetensors file: {error}")))?;
    let (_, header) =
        SafeTensors::read_metadata(saved).map_err(|error| misfit(format!("its header is unreadable: {error}")))?;
    let text = header.metadata().as_ref().and_then(|metadata| metadata.get(note).cloned());
    let text = text.ok_or_else(|| misfit(format!("its metadata has no `{note}`")))?;
    if let Some(stranger) = file.names().into_iter().find(|name| present.iter().all(|(known, _)| known != name)) {
        return Err(misfit(format!("it holds `{stranger}`, which this model has not")));
    }
    let tensors = present
        .iter()
        .map(|(name, now)| {
            let view = file.tensor(name).map_err(|_| misfit(format!("it holds no `{name}`")))?;
            let shape: Vec<i64> = view.shape().iter().map(|&extent| extent as i64).collect();
            if shape != now.size() || Some(view.dtype()) != dtype(now.kind()) {
                let (was, is) = (view.dtype(), now.kind());
                return Err(misfit(format!("`{name}` is {shape:?} of {was:?}, wanted {:?} of {is:?}", now.size())));
            }
            raise(view.data(), &shape, (now.kind(), now.device()))
                .map_err(|error| misfit(format!("`{name}` cannot be raised: {error}")))
        })
        .collect::<Result<Vec<_>, _>>()?;
    Ok((tensors, text))
}

/// A tensor ready to be written: row-major, in the machine's (little-endian) bytes.
struct Shelf<'a> {
    name: &'a str,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl<'a> Shelf<'a> {
    fn of(name: &'a str, tensor: &Tensor) -> Result<Self, LearnError> {
        let attempt = "copying a tensor out of the engine";
        let dtype = dtype(tensor.kind())
            .ok_or_else(|| LearnError::Engine { attempt, reason: format!("`{name}` is of {:?}", tensor.kind()) })?;
        let shape = tensor.size().iter().map(|&extent| extent as usize).collect();
        let bytes = lower(tensor).map_err(|error| LearnError::Engine { attempt, reason: error.to_string() })?;
        Ok(Self { name, dtype, shape, bytes })
    }
}

fn dtype(kind: Kind) -> Option<Dtype> {
    match kind {
        Kind::Float => Some(Dtype::F32),
        Kind::Double => Some(Dtype::F64),
        _ => None,
    }
}

fn lower(tensor: &Tensor) -> Result<Vec<u8>, TchError> {
    let flat = tensor.f_detach()?.f_to_device(Device::Cpu)?.f_contiguous()?.f_view([-1])?;
    let len = flat.numel();
    if tensor.kind() == Kind::Double {
        let mut values = vec![0f64; len];
        flat.f_copy_data(&mut values, len)?;
        Ok(values.iter().flat_map(|value| value.to_le_bytes()).collect())
    } else {
        let mut values = vec![0f32; len];
        flat.f_copy_data(&mut values, len)?;
        Ok(values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }
}

fn raise(bytes: &[u8], shape: &[i64], (kind, device): Place) -> Result<Tensor, TchError> {
    Tensor::f_from_data_size(bytes, shape, kind)?.f_to_device(device)
}
