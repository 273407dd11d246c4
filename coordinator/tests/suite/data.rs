//! `sumac data`: what is drawn, kept, refused, and said about what is there.

use crate::play::Sumac;

#[tokio::test]
async fn drawn_data_is_inspected_as_what_it_is() {
    let sumac = Sumac::new();
    sumac.runs(&["data", "demo", "digits", "drawn", "--count", "12", "--seed", "3"]).await.with(0);
    let json = sumac.runs(&["data", "inspect", "drawn/synthetic", "-o", "json"]).await.with(0).json();
    assert_eq!((&json["apiVersion"], &json["images"]), (&"sumac/v1".into(), &12.into()));
    let shown = sumac.runs(&["data", "inspect", "drawn/synthetic"]).await.with(0).stdout;
    assert!(shown.contains("28x28, 1 channel, 8 bit   12 images"), "{shown}");
}

#[tokio::test]
async fn validate_names_each_bad_image_and_ends_with_1() {
    let sumac = Sumac::new();
    sumac.runs(&["data", "demo", "digits", "drawn", "--count", "12"]).await.with(0);
    let good = sumac.runs(&["data", "validate", "drawn/synthetic"]).await.with(0).stdout;
    assert!(good.contains("12 good, 0 bad"), "{good}");
    let images = sumac.runs(&["data", "inspect", "drawn/synthetic", "-o", "json"]).await.json();
    let victim = images["examples"][0].as_str().unwrap().to_owned();
    let file = sumac.folder.path().join("drawn/synthetic").join(&victim);
    let whole = std::fs::read(&file).unwrap();
    // The header stays: only pixels are missing.
    std::fs::write(&file, &whole[..whole.len() / 2]).unwrap();
    let bad = sumac.runs(&["data", "validate", "drawn/synthetic"]).await.with(1).stdout;
    assert!(bad.contains("11 good, 1 bad") && bad.contains(&victim), "{bad}");
}

#[tokio::test]
async fn stats_are_those_of_all_pixels() {
    let sumac = Sumac::new();
    sumac.runs(&["data", "demo", "digits", "drawn", "--count", "12"]).await.with(0);
    let json = sumac.runs(&["data", "stats", "drawn/synthetic", "-o", "json"]).await.with(0).json();
    assert_eq!((&json["images"], &json["labelled"]), (&12.into(), &12.into()), "{json}");
    let mean = json["tones"][0]["channels"][0]["mean"].as_f64().unwrap();
    assert!(mean > 0.0 && mean < 1.0, "{json}");
    let shown = sumac.runs(&["data", "stats", "drawn/synthetic"]).await.with(0).stdout;
    assert!(shown.contains("28x28, 1 channel, 8 bit") && shown.contains("mean and deviation"), "{shown}");
}

#[tokio::test]
async fn a_data_set_that_is_not_there_is_exit_1() {
    Sumac::new().runs(&["data", "inspect", "nowhere"]).await.with(1);
}

#[tokio::test]
async fn the_same_drawing_is_kept_and_another_one_is_refused() {
    let sumac = Sumac::new();
    let drawn = sumac.runs(&["data", "demo", "digits", "data", "--count", "3"]).await.with(0).stdout;
    assert_eq!(drawn, "  drawn     data: 3 digits with class labels, 3 digits seen by a camera, without\n");
    let kept = sumac.runs(&["data", "demo", "digits", "data", "--count", "3"]).await.with(0).stdout;
    assert!(kept.starts_with("  kept      data, as drawn before: 3 digits"), "{kept}");
    let refused = sumac.runs(&["data", "demo", "eyes", "data", "--count", "3"]).await.with(1).stderr;
    let sentence = "error: `data` holds another drawing (3 digits, seed 7) than the one asked for (3 eyes, seed 7): \
                    choose another folder, or remove this one\n";
    assert_eq!(refused, sentence);
}

#[tokio::test]
async fn the_folder_above_two_data_sets_gets_a_hint_at_them() {
    let sumac = Sumac::new();
    for subject in ["digits", "eyes"] {
        sumac.runs(&["data", "demo", subject, subject, "--count", "12"]).await.with(0);
        let above = sumac.runs(&["data", "inspect", subject]).await.with(0);
        assert!(above.stderr.contains("hint: all images lie in sub-folders (real, synthetic)"), "{above:?}");
        assert!(above.stderr.contains(&format!("`sumac data inspect {subject}/real`")), "{above:?}");
        for set in ["real", "synthetic"] {
            let itself = sumac.runs(&["data", "inspect", &format!("{subject}/{set}")]).await.with(0);
            assert_eq!(itself.stderr, "", "{subject}/{set}");
        }
    }
}

#[tokio::test]
async fn a_data_set_is_converted_once_and_found_whole() {
    let sumac = Sumac::new();
    sumac.runs(&["data", "demo", "digits", "drawn", "--count", "20"]).await.with(0);
    let convert = ["data", "convert", "drawn/synthetic", "small", "--image", "14x14x1", "--layout", "shards"];
    let said = sumac.runs(&convert).await.with(0).stdout;
    assert!(
        said.contains("20 converted, 0 bad") && said.contains("sumac verify small --source drawn/synthetic"),
        "{said}"
    );
    sumac.runs(&["verify", "small", "--source", "drawn/synthetic"]).await.with(0);
    let shown = sumac.runs(&["data", "inspect", "small"]).await.with(0).stdout;
    assert!(shown.contains("14x14, 1 channel, 8 bit   20 images"), "{shown}");
    let again = sumac.runs(&convert).await.with(0).stdout;
    assert!(again.contains("nothing to do"), "{again}");
    let other = sumac.runs(&["data", "convert", "drawn/synthetic", "small", "--image", "7x7x1"]).await.with(1).stderr;
    assert!(other.contains("holds another data set, and is finished"), "{other}");
    let wrong = sumac.runs(&["data", "convert", "drawn/synthetic", "new", "--image", "14x14"]).await.with(2).stderr;
    assert!(wrong.contains("such as 35x55x1"), "{wrong}");
}
