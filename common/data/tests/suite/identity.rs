//! What a data set is called in a run's identity must never change: a run of last year resumes with the images of last year.

use crate::shelf::{Shelf, gzipped, idx, npy, npz, pack, terms};
use sumac_common::spec::{ImageShape, Resize};
use sumac_data::{Source, freeze, freeze::Terms};

#[test]
fn the_hashes_of_yesterday_are_the_hashes_of_today() {
    let shelf = Shelf::new();
    for (name, tone) in [("set/b/10.png", 1), ("set/9.png", 2), ("set/b/1.png", 3), ("set/Z.png", 4)] {
        shelf.grey(name, tone);
    }
    shelf.put("set/b/1.json", "{}");
    shelf.grey("set/Z_mask.png", 0);
    for name in ["classes/cat/1.png", "classes/dog/1.png", "classes/dog/2.png"] {
        shelf.grey(name, 7);
    }
    for name in ["table/a.png", "table/b.png", "table/c.png"] {
        shelf.grey(name, 9);
    }
    shelf.put("table/metadata.csv", "file_name,gaze\nb.png,\"1, 2\"\na.png,3\n");
    shelf.put("table-labels.csv", "file;gaze\nc.png;1\na.png;2\n");
    shelf.put("table.jsonl", "{\"file_name\": \"c.png\"}\n");
    let images = idx(&[2, 3, 4], &(0..24).collect::<Vec<u8>>());
    shelf.put("idx/train-images-idx3-ubyte", &images);
    shelf.put("idx/train-labels-idx1-ubyte", idx(&[2], &[7, 3]));
    shelf.put("gz/train-images-idx3-ubyte.gz", gzipped(&images));
    shelf.put("stack.npy", npy("|u1", "(2, 3, 4)", &(0..24).collect::<Vec<u8>>()));
    // Archives beside a stack were nobody's images.
    shelf.put("gz/raw.tar.gz", gzipped(b"a tar"));
    shelf.put("idx/raw.tar", "a tar");
    shelf.put("idx/again.npz", npz(&[("images.npy", npy("|u1", "(1, 3, 4)", &[0; 12]))], false));
    // What a donkeycar writes was a plain folder once.
    for name in ["tub/images/1_cam_image_array_.png", "tub/images/0_cam_image_array_.png"] {
        shelf.grey(name, 5);
    }
    shelf.put("tub/catalog_0.catalog", "{\"_index\": 0, \"cam/image_array\": \"0_cam_image_array_.png\"}\n");
    for (name, hash) in [
        ("set", "ffce8c8ce28e840e9b2ff3066071a251aa849aad37d05902c95d084e3bd90fd1"),
        ("set/Z.png", "5e5a69a0d1ab13987d383a336c1607dca0d9cc2930f5cb6cafc06f28690d54b8"),
        ("classes", "b7a1b6faf014667cecb98f67c7b4ed4f8212362da568eaa5562b176d3f586e26"),
        ("table", "7741fe879860e275c5966ae92ed98bf64d3b469391cc860ed8a52b563ba27eb0"),
        ("table-labels.csv", "319e5529eac3288f7d9dba2e42ef46c9030adc97651f616c180ed4665a7b9405"),
        ("table.jsonl", "35263f2642db835056f50a7124e7aa2f8502df046a2c724b2777b154b320ef41"),
        ("idx", "a5d1268acdb033dd45813607f7fb15ae3e05618a2d856b4ca6e0619012876991"),
        ("gz", "a5d1268acdb033dd45813607f7fb15ae3e05618a2d856b4ca6e0619012876991"),
        ("stack.npy", "a5d1268acdb033dd45813607f7fb15ae3e05618a2d856b4ca6e0619012876991"),
        ("tub", "28130b8fce297c56ee67f3bb5475ad6fef65c02f4fe79bc6bd6e27b2f47f213c"),
    ] {
        assert_eq!(shelf.freeze(name, terms()).unwrap().manifest_hash().to_string(), hash, "{name}");
    }
}

#[test]
fn the_real_packs_keep_their_hashes() {
    for (name, hash) in [
        ("eyes/unityeyes-style-folder", "dc378e1cb5a84e4463ac8dd269fd099660f9c79e6125161629c66a5d5255d480"),
        ("driving/sim-donkey-tub", "665fd0fdd9130f4912227e453f3bc9724e940ece2e7215999fcc48a83d69c9da"),
        ("driving/synthetic-roads", "563fac9051a2fe42581473ffde7b4528969057cd09037a33b7180a546e340450"),
        ("driving/real-test-labels.csv", "50af866139d339bcaaaf57b0a15461fe23d9a071f14c1835b176dc7c38384fa1"),
        ("digits/synthetic-fonts", "c0625a95c072690b0f53325ae2f522e56b271113f7bee6cd12180d71996ce2e1"),
    ] {
        let Some(path) = pack(name) else { return };
        let shape = ImageShape { channels: 1, height: 8, width: 8 };
        let terms = Terms { shape, resize: Resize::Area, ..terms() };
        let frozen = freeze(&Source::look(&path).unwrap(), terms, &Shelf::new().path("cache"), &|_, _| {}).unwrap();
        assert_eq!(frozen.manifest_hash().to_string(), hash, "{name}");
    }
}
