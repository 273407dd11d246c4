//! Why a data set cannot be listed. Each sentence says what, where, and what to do about it.

use std::{io, path::PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    #[error("there is no file or folder `{}`: check the path, and that this machine can see it", path.display())]
    Missing { path: PathBuf },
    #[error("`{}` could not be read: check its permissions and its disk", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error(
        "`{}` holds no images ({others} other files): name the folder, table, tar, idx, npy or npz file with the images; \
         png, jpeg, bmp, tiff, webp and pnm are read", path.display()
    )]
    Empty { path: PathBuf, others: usize },
    #[error(
        "`{}` is neither a folder nor an image, a csv or jsonl table, a tar, an idx, an npy or an npz file: name one of these",
        path.display()
    )]
    NotRecognised { path: PathBuf },
    #[error(
        "`{}` is a data set that is being written and not whole: give the command again that writes it, `sumac refine status` says \
         how far it is",
        path.display()
    )]
    HalfWritten { path: PathBuf },
    #[error("`{}` has no room for the listing of all tars: {source}; name another folder in TMPDIR", path.display())]
    Spool { path: PathBuf, source: io::Error },
    #[error("`{}` holds several stacks of images ({names}): name the one that is meant", path.display())]
    SeveralStacks { path: PathBuf, names: String },
    #[error(
        "`{}` is {format}, which this sumac was built without: build it with `cargo build --release -p sumac \
         -p sumac-worker --features {feature}`", path.display()
    )]
    NotBuiltIn { path: PathBuf, format: &'static str, feature: &'static str },
    #[error("`{}` has several columns of images ({names}): name the one that is meant", path.display())]
    SeveralColumns { path: PathBuf, names: String },
    #[error(
        "`{}` has no column of images among its columns ({columns}): call it `image`, or write it with datasets.Image(); \
         images that a column only names have to be in the file (datasets embeds them in to_parquet)", path.display()
    )]
    NoImageColumn { path: PathBuf, columns: String },
    #[error(
        "`{}` has other columns than `{}` beside it, so they are no one data set: name those that belong together, as in \
         `train-*.parquet`", path.display(), first.display()
    )]
    ColumnsDiffer { path: PathBuf, first: PathBuf },
    #[error(
        "column {column} of `{}` is packed with {codec}, which is not read: write it with snappy, zstd, gzip or lz4_raw",
        path.display()
    )]
    Packing { path: PathBuf, column: String, codec: String },
    #[error("`{}` is a compressed tar, which cannot be read in place: unpack it to a plain .tar", path.display())]
    CompressedTar { path: PathBuf },
    #[error("nothing is named `{}`: check the pattern; `*` stands for any letters, `{{000..127}}` for numbers", path.display())]
    NothingNamedSo { path: PathBuf },
    #[error("`{}` names {of} files, but {missing} are not there, the first is `{first}`: fetch them, or name fewer", path.display())]
    ShardsMissing { path: PathBuf, of: usize, missing: usize, first: String },
    #[error("`{}` names more than {most} files: name a folder or fewer", path.display())]
    TooManyShards { path: PathBuf, most: usize },
    #[error("`{}` names `{file}`, but a pattern names tars or parquet files, and not both: name the folder instead", path.display())]
    NotOnlyShards { path: PathBuf, file: String },
    #[error("`{}` is damaged: {what}; mend it or fetch it again", path.display())]
    Damaged { path: PathBuf, what: String },
    #[error(
        "`{}` is cut short: its header promises {count} images, {wanted} bytes, but {there} bytes follow it; fetch it again",
        path.display()
    )]
    StackCutShort { path: PathBuf, count: u64, wanted: u64, there: u64 },
    #[error("`{}` unpacks to {bytes} bytes, too many to hold in memory: unpack it first (gunzip)", path.display())]
    UnpackFirst { path: PathBuf, bytes: u64 },
    #[error("`{}` unpacks to {bytes} bytes, too many to hold in memory: save it with numpy.savez", path.display())]
    StoreFirst { path: PathBuf, bytes: u64 },
    #[error("`{}` has {labels} labels for {images} images: bring the labels file that belongs to them", path.display())]
    LabelCount { path: PathBuf, labels: u64, images: u64 },
    #[error("`{}` holds values of type {found}: save it as uint8, uint16 or float32", path.display())]
    ValueKind { path: PathBuf, found: String },
    #[error("`{}` is in Fortran order: save numpy.ascontiguousarray of it", path.display())]
    FortranOrder { path: PathBuf },
    #[error(
        "the values of `{}` run from {least} to {most}: scale them to 0..1, -1..1 or 0..255",
        path.display()
    )]
    ValueRange { path: PathBuf, least: f32, most: f32 },
    #[error(
        "none of the columns of `{}` names the image files ({columns}): call that column file_name", path.display()
    )]
    NoFileColumn { path: PathBuf, columns: String },
    #[error("line {line} of `{}` names `{file}`, which leads out of the folder: use paths inside it", path.display())]
    RowLeadsOut { path: PathBuf, line: u64, file: String },
    #[error("`{}` names `{file}` in line {first} and again in line {second}: keep one row per image", path.display())]
    NamedTwice { path: PathBuf, file: String, first: u64, second: u64 },
}

impl SourceError {
    pub(super) fn unreadable(path: &std::path::Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::Missing { path },
            _ => Self::Unreadable { path, source },
        }
    }
}
