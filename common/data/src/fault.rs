//! Why one image, or one piece of a data set, cannot be used: a sentence that is the same on every machine.

use crate::decode::{FILE_BYTES_MAX, LABEL_BYTES_MAX};

/// Why one image cannot be used: a property of its content, the same on every machine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("the file is empty")]
    Empty,
    #[error("the file has {bytes} bytes, more than the {FILE_BYTES_MAX} that are read for one image")]
    TooBig { bytes: u64 },
    #[error("its content is none of png, jpeg, bmp, tiff, webp, pnm")]
    NotAnImage,
    #[error("it is a {format} file, which is not read: convert it to png")]
    NotRead { format: &'static str },
    #[error("it is an animation: export its frames as single images")]
    Animated,
    #[error("it holds several pages: export them as single images")]
    SeveralPages,
    #[error("its pixels are inks (CMYK), which become colours only by a profile of a printer: convert it to RGB")]
    Cmyk,
    #[error("its colours are multiplied by its alpha: convert it to png, which keeps them apart")]
    Premultiplied,
    #[error(
        "its EXIF data ask to show it turned or mirrored (orientation {orientation}), and nothing tells whether its labels mean it \
         so or as it lies: turn its pixels and drop the tag (mogrify -auto-orient)"
    )]
    Turned { orientation: u8 },
    #[error("it is of a kind that is not read ({0}): convert it to png, grey or RGB, of 8 or 16 bits")]
    Kind(String),
    #[error("it claims more pixels than are decoded (16384 a side, 512 MiB in all)")]
    TooManyPixels,
    #[error("it is cut short: the file ends before the image does")]
    Truncated,
    #[error("it cannot be decoded: {0}")]
    Damaged(String),
    #[error("it is {}x{} pixels, not {}x{}", found.0, found.1, wanted.0, wanted.1)]
    Size { found: (u32, u32), wanted: (u32, u32) },
    #[error("it is {}x{} pixels, too small to cut {}x{} out of it", found.0, found.1, wanted.0, wanted.1)]
    TooSmall { found: (u32, u32), wanted: (u32, u32) },
    #[error("its {found} channels cannot become {wanted}")]
    Channels { found: u32, wanted: u32 },
    #[error("it holds a value that is not a finite number")]
    NotFinite,
    #[error(
        "its label `{name}` has {bytes} bytes, more than the {LABEL_BYTES_MAX} that are carried for one label: \
         keep what is so large outside the data set"
    )]
    LabelTooBig { name: String, bytes: u64 },
    #[error("its row has no image")]
    NoBytes,
    #[error(
        "its row has only the path of an image, `{path}`, and not the image: write the file again with the images in it \
         (datasets embeds them in to_parquet)"
    )]
    OnlyAPath { path: String },
    #[error("the table names it, but there is no such file")]
    NoSuchFile,
    #[error("another record of the tub names the same image: keep one record per image")]
    ToldTwice,
    #[error("the record is torn, {0}: take it out, or copy the tub again")]
    TornRecord(String),
    #[error(
        "none of its lines tells what was deleted: copy the tub again, or take the manifest out to use every record"
    )]
    NoDeletions,
    #[error("it is a link that leads out of the folder")]
    LeadsOut,
    #[error("it is a link to a folder, which is not followed")]
    LinkedFolder,
    #[error("its name is not valid UTF-8")]
    Name,
    #[error("its name leads out of the data set: use relative names without `..`")]
    NameLeadsOut,
    #[error("it is a link inside the tar, which is not followed: write the tar with its content (tar --dereference)")]
    LinkInTar,
    #[error("the tar keeps it with holes left out, which is not read: write the tar without --sparse")]
    SparseInTar,
    #[error("it is a device or a pipe inside the tar, which holds nothing: take it out")]
    DeviceInTar,
    #[error(
        "its key comes a second time, after others: give each sample a key of its own and write its members together"
    )]
    KeyAgain,
    #[error("it has two members `{ending}`: keep the one that is meant")]
    MemberTwice { ending: String },
    #[error("none of its members is an image, they are {members}: add it, or take the key out")]
    NoImage { members: String },
    #[error("several of its members may be the image, they are {members}: call that one png or jpg")]
    SeveralImages { members: String },
    #[error("it is a compressed tar, which cannot be read in place: unpack it to a plain .tar")]
    CompressedTar,
    #[error("it is no tar: fetch it again, or take it out")]
    NotATar,
    #[error("the tar is cut short here and what follows is lost: fetch or write it again")]
    TarCutShort,
    #[error("the tar is damaged at byte {at}, {what}, and what follows is lost: fetch or write it again")]
    TarDamaged { at: u64, what: String },
}
