//! Variables and files from outside Git, `validate` in working copies, and values that are not there: through the program.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

/// A folder with these files; `.git` is made where it is asked for.
fn folder(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

fn working_copy(files: &[(&str, &str)]) -> TempDir {
    let folder = folder(files);
    git(folder.path(), &["init", "-q"]);
    git(folder.path(), &["add", "-A"]);
    folder
}

fn git(folder: &Path, arguments: &[&str]) {
    let done = Command::new("git").arg("-C").arg(folder).args(arguments).status().unwrap();
    assert!(done.success());
}

/// What `moorline validate` says in a folder, and whether it found no errors.
fn validate(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_moorline"));
    let output = command.arg("validate").args(arguments).current_dir(folder).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

const SHOP: &str = "services: {web: {image: 'web:${TAG}', environment: {TOKEN: '${TOKEN}'}}}\n";

#[test]
fn a_compose_file_at_the_root_does_not_hide_the_stacks_beside_it() {
    let folder = working_copy(&[
        ("compose.yaml", "services: {r: {image: 'app:1'}}\n"),
        ("sub/app/compose.yaml", "services: {t: {image: 'app:1', nonsense: 1}}\n"),
    ]);
    let (good, said) = validate(folder.path(), &[]);
    assert!(
        !good && said.contains("sub/app/compose.yaml:1") && said.contains("nonsense"),
        "{said}"
    );
    let (good, said) =
        validate(folder.path().parent().unwrap(), &[folder.path().to_str().unwrap()]);
    assert!(!good && said.contains("nonsense"), "{said}");
    // One of them alone is judged alone.
    std::fs::create_dir(folder.path().join("good")).unwrap();
    std::fs::write(folder.path().join("good/compose.yaml"), "services: {g: {image: g}}\n").unwrap();
    let (good, said) = validate(&folder.path().join("good"), &[]);
    assert!(good && said.contains("1 stacks, 1 services"), "{said}");
}

#[test]
fn ignored_files_are_not_there_and_files_outside_are_asked_for_by_name() {
    let folder = working_copy(&[
        (".gitignore", ".env\n"),
        ("shop/compose.yaml", SHOP),
        ("shop/.env", "TAG=1\nTOKEN=a-long-secret\n"),
    ]);
    let (good, said) = validate(folder.path(), &[]);
    assert!(
        !good && said.contains("TAG has no value; nor have TOKEN (shop/compose.yaml:1)"),
        "{said}"
    );
    assert!(said.contains("ignored by Git, so not read: shop/.env"), "{said}");
    assert!(said.contains("no settings file was read"), "{said}");
    let (good, said) = validate(folder.path(), &["--env-file", "shop/.env"]);
    assert!(good, "{said}");
    let (good, said) = validate(folder.path(), &["--set", "TAG=1", "--set", "TOKEN="]);
    assert!(good, "{said}");
    let (good, said) = validate(folder.path(), &["--set", "TAG=1", "--env-file", "no.env"]);
    assert!(!good && said.contains("no.env") && said.contains("cannot be read"), "{said}");
}

#[test]
fn settings_give_variables_to_the_stacks_that_they_name() {
    let repository = working_copy(&[
        ("shop/compose.yaml", SHOP),
        ("shop/.env", "TAG=git\nTOKEN=git\n"),
        (
            "blog/compose.yaml",
            "services: {web: {image: 'blog:${TAG:?}', env_file: [SECRETS/blog.env]}}\n",
        ),
    ]);
    let outside = folder(&[
        (
            "moorline.yaml",
            "variables: [{file: all.env}, {file: shop.env, stacks: ['s*']}, {folder: stacks}]\nreadable: [SECRETS]\n",
        ),
        ("all.env", "TAG=all\n"),
        ("shop.env", "TOKEN=${TAG}-token\n"),
        ("stacks/blog.env", "TAG=blog\n"),
        ("secrets/blog.env", "PASSWORD=hunter2hunter2\n"),
    ]);
    let secrets = outside.path().join("secrets").canonicalize().unwrap();
    for file in [outside.path().join("moorline.yaml"), repository.path().join("blog/compose.yaml")]
    {
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, text.replace("SECRETS", secrets.to_str().unwrap())).unwrap();
    }
    let settings = outside.path().join("moorline.yaml");
    let settings = settings.to_str().unwrap();
    let (good, said) = validate(repository.path(), &["--settings", settings]);
    assert!(good, "{said}");
    assert!(!said.contains("no settings file"), "{said}");
    // A file that cannot be read is never taken for an empty one.
    std::fs::remove_file(outside.path().join("shop.env")).unwrap();
    let (good, said) = validate(repository.path(), &["--settings", settings]);
    assert!(!good && said.contains("shop.env: error: it cannot be read"), "{said}");
    // What no setting calls readable stays closed.
    let (good, said) = validate(repository.path(), &["--set", "TAG=1"]);
    assert!(!good && said.contains("lies outside the repository, and may not be read"), "{said}");
}

#[test]
fn stacks_share_env_files_and_say_what_becomes_of_missing_values() {
    let files = [
        (
            "fleet.yaml",
            "stacks: {shop: {}, blog: {unset: warn}}\ndefaults: {env_files: [common.env]}\n",
        ),
        ("common.env", "TAG=common\n"),
        ("shop/compose.yaml", SHOP),
        ("shop/.env", "TOKEN=own-${TAG}\n"),
        ("blog/compose.yaml", SHOP),
    ];
    let folder = working_copy(&files);
    let (good, said) = validate(folder.path(), &[]);
    assert!(good && said.contains("warning") && said.contains("TOKEN is not set"), "{said}");
    std::fs::remove_file(folder.path().join("common.env")).unwrap();
    let (good, said) = validate(folder.path(), &[]);
    assert!(!good && said.contains("there is no env file common.env or"), "{said}");
}

#[test]
fn what_a_commit_would_leave_out_is_an_error_where_it_is_used() {
    let large = "x".repeat((10 << 20) + 1);
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n";
    let folder = working_copy(&[
        (
            "web/compose.yaml",
            "services: {web: {image: web, volumes: ['./db.bin:/db.bin:ro', './conf:/conf:ro', './out:/out']}}\n",
        ),
        ("web/db.bin", &large),
        ("web/conf/geo.mmdb", pointer),
        ("web/unused.bin", &large),
    ]);
    std::os::unix::fs::symlink("/etc/hosts", folder.path().join("web/out")).unwrap();
    let (good, said) = validate(folder.path(), &[]);
    assert!(
        !good
            && said.contains("web/db.bin is left out of the commit: this file has 10485761 bytes"),
        "{said}"
    );
    assert!(
        said.contains("web/conf/geo.mmdb is left out of the commit: this is a Git LFS pointer"),
        "{said}"
    );
    assert!(
        said.contains("web/out is left out of the commit: this symbolic link leaves"),
        "{said}"
    );
    assert!(!said.contains("unused.bin"), "{said}");
}

#[test]
fn files_that_are_encrypted_are_not_mounted() {
    let sealed =
        "a: ENC[AES256_GCM,data:A,iv:B,tag:C,type:str]\nsops:\n  mac: ENC[AES256_GCM,data:A]\n";
    let manifest = "services:\n  db: {image: db, secrets: [pass], volumes: ['./conf:/conf:ro']}\nsecrets: {pass: {file: ./pass.age}}\n";
    let folder = working_copy(&[
        ("db/compose.yaml", manifest),
        ("db/pass.age", "age-encryption.org/v1\n-> X25519 abc\n"),
        ("db/conf/app.yaml", sealed),
    ]);
    let (good, said) = validate(folder.path(), &[]);
    assert!(!good && said.contains("db/pass.age would be given as ciphertext (age)"), "{said}");
    assert!(said.contains("db/conf/app.yaml would be given as ciphertext (SOPS)"), "{said}");
    let allowed = manifest.replace("image: db,", "image: db, x-moorline: {encrypted: allow},");
    std::fs::write(folder.path().join("db/compose.yaml"), allowed).unwrap();
    let (good, said) = validate(folder.path(), &[]);
    assert!(good, "{said}");
}
