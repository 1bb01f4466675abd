//! The layouts on folders of empty files: nothing is decoded here.
//!
//! The data of VisA, BTAD, MPDD and Real-IAD is not at hand: these fixtures follow their publications and stand in for it.

use super::*;

struct Root(tempfile::TempDir);

impl Root {
    /// Files named by the lines of a text.
    fn with(files: &str) -> Self {
        let root = Self(tempfile::tempdir().unwrap());
        for file in files.split_whitespace() {
            root.write(file, "");
        }
        root
    }

    fn write(&self, file: &str, text: &str) {
        let path = self.0.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Every product as a line: `name good=.. kind:image[=mask].. left_out=.. unclaimed=..`, paths below the root.
    fn read(&self) -> Result<Vec<String>, String> {
        let below =
            |path: &PathBuf| path.strip_prefix(self.0.path()).unwrap().display().to_string();
        let list = |paths: &[PathBuf]| paths.iter().map(below).collect::<Vec<_>>().join(",");
        let products = read(self.0.path()).map_err(|error| error.to_string())?;
        let test_image = |image: &TestImage| {
            let mask =
                image.mask.as_ref().map_or(String::new(), |mask| format!("={}", below(mask)));
            format!(" {}:{}{mask}", image.defect.as_deref().unwrap_or("-"), below(&image.path))
        };
        let line = |product: Product| {
            assert_eq!(product.root, self.0.path());
            let Product { name, good, test, left_out, unclaimed_masks, .. } = product;
            let test: String = test.iter().map(test_image).collect();
            let rest = [("left_out", left_out), ("unclaimed", unclaimed_masks)]
                .iter()
                .filter(|(_, paths)| !paths.is_empty())
                .map(|(word, paths)| format!(" {word}={}", list(paths)))
                .collect::<String>();
            format!("{name} good={}{test}{rest}", list(&good))
        };
        Ok(products.into_iter().map(line).collect())
    }
}

fn check(root: &Root, expected: &[&str]) {
    assert_eq!(root.read().unwrap(), expected);
}

fn refuses(root: &Root, words: &[&str]) {
    let told = root.read().unwrap_err();
    for word in words {
        assert!(told.contains(word), "`{word}` is not in `{told}`");
    }
}

#[test]
fn mvtec_and_mpdd() {
    let root = Root::with(
        "cap/train/good/1.png cap/train/good/0.JPG cap/train/good/notes.txt cap/train/good/._0.png
         cap/test/good/a.png cap/test/dent/b.jpg cap/test/dent/c.jpg cap/test/dent/d.jpg
         cap/ground_truth/dent/b_mask.png cap/ground_truth/dent/d.png cap/ground_truth/dent/x_mask.png
         cap/license.txt notes/readme.txt bare/train/good/0.bmp",
    );
    check(
        &root,
        &[
            "bare good=bare/train/good/0.bmp",
            "cap good=cap/train/good/0.JPG,cap/train/good/1.png \
             dent:cap/test/dent/b.jpg=cap/ground_truth/dent/b_mask.png dent:cap/test/dent/c.jpg \
             dent:cap/test/dent/d.jpg=cap/ground_truth/dent/d.png -:cap/test/good/a.png \
             unclaimed=cap/ground_truth/dent/x_mask.png",
        ],
    );
    std::fs::create_dir_all(root.0.path().join("gear/train/good")).unwrap();
    refuses(&root, &["\"gear\"", "no images of good parts"]);
}

#[test]
fn btad() {
    check(
        &Root::with(
            "01/train/ok/0000.bmp 01/test/ok/0.bmp 01/test/ko/1.bmp 01/test/ko/2.bmp 01/test/ko/3.bmp
             01/ground_truth/ko/1.png 01/ground_truth/ko/2.bmp 02/train/ok/0.png",
        ),
        &[
            "01 good=01/train/ok/0000.bmp -:01/test/ok/0.bmp ko:01/test/ko/1.bmp=01/ground_truth/ko/1.png \
             ko:01/test/ko/2.bmp=01/ground_truth/ko/2.bmp ko:01/test/ko/3.bmp",
            "02 good=02/train/ok/0.png",
        ],
    );
}

#[test]
fn visa() {
    let root = Root::with("candle/Data/Masks/Anomaly/000.png candle/Data/Masks/Anomaly/009.png");
    let list = "object,split,label,image,mask\n\
        candle,train,normal,candle/Data/Images/Normal/0000.JPG,\n\
        candle,train,anomaly,candle/Data/Images/Anomaly/005.JPG,candle/Data/Masks/Anomaly/005.png\n\
        candle,test,normal,candle/Data/Images/Normal/0001.JPG,\n\
        candle,test,anomaly,candle/Data/Images/Anomaly/000.JPG,candle/Data/Masks/Anomaly/000.png\n\
        capsules,train,normal,capsules/Data/Images/Normal/000.JPG,\n";
    root.write("split_csv/1cls.csv", list);
    check(
        &root,
        &[
            "candle good=candle/Data/Images/Normal/0000.JPG -:candle/Data/Images/Normal/0001.JPG \
             anomaly:candle/Data/Images/Anomaly/000.JPG=candle/Data/Masks/Anomaly/000.png \
             left_out=candle/Data/Images/Anomaly/005.JPG unclaimed=candle/Data/Masks/Anomaly/009.png",
            "capsules good=capsules/Data/Images/Normal/000.JPG",
        ],
    );
    for (line, words) in [
        ("candle,train,normal,../secret.JPG,", "../secret.JPG leads out"),
        ("candle,train,normal,/etc/passwd,", "/etc/passwd leads out"),
        ("candle,validation,normal,a.JPG,", "validation"),
        ("candle,train", "1cls.csv"),
    ] {
        root.write("split_csv/1cls.csv", &format!("object,split,label,image,mask\n{line}\n"));
        refuses(&root, &[words, "unpack the data set anew"]);
    }
    root.write("split_csv/1cls.csv", "object,split,label,image,mask\n");
    refuses(&root, &["has no rows"]);
}

const REAL_IAD: &str = r#"{
    "meta": {"normal_class": "OK", "prefix": "audiojack/", "pre_transform": null},
    "train": [
        {"category": "audiojack", "anomaly_class": "OK", "image_path": "OK/S0001/a.jpg", "mask_path": null},
        {"category": "audiojack", "anomaly_class": "BX", "image_path": "NG/BX/b.jpg", "mask_path": "NG/BX/b.png"}
    ],
    "test": [
        {"category": "audiojack", "anomaly_class": "OK", "image_path": "NG/QS/c.jpg", "mask_path": null},
        {"category": "audiojack", "anomaly_class": "QS", "image_path": "NG/QS/d.jpg", "mask_path": "NG/QS/d.png"}
    ]
}"#;

#[test]
fn real_iad() {
    let expected = |images: &str| {
        format!(
            "audiojack good={images}audiojack/OK/S0001/a.jpg -:{images}audiojack/NG/QS/c.jpg \
             QS:{images}audiojack/NG/QS/d.jpg={images}audiojack/NG/QS/d.png \
             left_out={images}audiojack/NG/BX/b.jpg"
        )
    };
    let root = Root::with("");
    root.write("realiad_jsons/audiojack.json", REAL_IAD);
    check(&root, &[&expected("")]);
    root.write("realiad_256/audiojack/readme.txt", "");
    check(&root, &[&expected("realiad_256/")]);
    // As the archive unpacks.
    root.write("realiad_jsons/realiad_jsons/audiojack.json", REAL_IAD);
    root.write("realiad_jsons/realiad_jsons_sv/audiojack.json", "not looked at");
    check(&root, &[&expected("realiad_256/")]);
    root.write("realiad_1024/audiojack/readme.txt", "");
    refuses(&root, &["several resolutions", "realiad_1024, realiad_256"]);

    let root = Root::with("realiad_jsons/readme.txt");
    refuses(&root, &["realiad_jsons", "no CLASS.json"]);
    root.write("realiad_jsons/audiojack.json", "{}");
    refuses(&root, &["audiojack.json", "meta"]);
    root.write("realiad_jsons/audiojack.json", &REAL_IAD.replace("OK/S0001", "/root"));
    refuses(&root, &["/root/a.jpg leads out"]);
}

#[test]
fn folders_of_good_parts() {
    check(
        &Root::with("cap/1.png cap/0.tif gear/0.jpg .cache/0.png notes/readme.txt cover.png"),
        &["cap good=cap/0.tif,cap/1.png", "gear good=gear/0.jpg"],
    );
}

#[test]
fn what_is_unknown_or_ambiguous_is_refused() {
    let every = [
        "PRODUCT/train/good",
        "split_csv/1cls.csv",
        "PRODUCT/train/ok",
        "realiad_jsons/CLASS.json",
        "PRODUCT/*.png",
    ];
    refuses(&Root::with(""), &every);
    refuses(&Root::with("notes/readme.txt cover.png"), &every);
    // A folder of images beside captured products would be overlooked.
    refuses(
        &Root::with("cap/train/good/0.png gear/0.png"),
        &["ambiguous", "cap/train/good", "gear/0.png"],
    );
    refuses(
        &Root::with("cap/train/good/0.png gear/train/ok/0.png"),
        &["ambiguous", "cap/train/good", "gear/train/ok"],
    );
}
