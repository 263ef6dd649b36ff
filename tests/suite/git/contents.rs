//! Links, submodules, pointers and limits.

use moorline::git::{Git, GitError, Source, TreeSelection, Wanted};
use moorline::model::{FileMode, Severity};

use super::servers::Daemon;
use super::world::World;
use super::{head, kind, never, path, paths, problems, pull_all, source, text};

/// The same over a path and over a server that leaves out objects.
async fn each_way(world: &World, check: impl AsyncFn(Git, Source)) {
    world.allow_filters();
    let daemon = Daemon::start(world);
    check(Git::new(&world.data()), source(world.bare().to_str().unwrap())).await;
    check(Git::new(&world.data()), source(&daemon.url())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_inside_the_repository_are_their_content_and_others_are_refused() {
    let world = World::empty();
    world.write("fleet/shop/compose.yaml", "services: {}\n");
    world.write("common/env/base.env", "A=1\n");
    world.write("common/run.sh", "#!/bin/sh\n");
    world.git(&["add", "-A"]);
    world.git(&["update-index", "--chmod=+x", "common/run.sh"]);
    world.git(&["commit", "-q", "-m", "files"]);
    std::fs::set_permissions(
        world.work().join("common/run.sh"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    world.link("fleet/shop/.env", "../../common/env/base.env");
    world.link("fleet/shop/run.sh", "../../common/run.sh");
    world.link("fleet/shop/env", "../../common/env");
    world.link("fleet/shop/again", "./env/../env");
    world.link("fleet/shop/chain.env", "again/base.env");
    world.link("fleet/shop/out", "../../../etc/passwd");
    world.link("fleet/shop/absolute", "/etc/passwd");
    world.link("fleet/shop/broken", "nowhere");
    world.link("fleet/shop/loop", "loop");
    world.link("fleet/shop/up", "..");
    world.link("linked-fleet", "fleet");
    world.push("links");
    each_way(&world, async |git, mut source| {
        for folder in ["fleet", "linked-fleet"] {
            source.path = path(folder);
            let pulled = pull_all(&git, &source).await.unwrap();
            assert_eq!(
                paths(&pulled),
                [
                    "shop/.env",
                    "shop/again/base.env",
                    "shop/chain.env",
                    "shop/compose.yaml",
                    "shop/env/base.env",
                    "shop/run.sh"
                ]
            );
            assert_eq!(text(&pulled, "shop/chain.env"), "A=1\n");
            let script = pulled.tree.file(&path("shop/run.sh")).unwrap();
            assert_eq!(script.mode, FileMode::Executable);
            assert_eq!(
                problems(&pulled),
                [
                    "shop/absolute: this symbolic link leaves the repository, so it is left out",
                    "shop/broken: this symbolic link points at nothing, so it is left out",
                    "shop/loop: this symbolic link leads back to itself, so it is left out",
                    "shop/out: this symbolic link leaves the repository, so it is left out",
                    "shop/up: this symbolic link leads back to itself, so it is left out",
                ]
            );
            assert!(!pulled.problems.has_errors());
        }
        // A selected path may lead through a link.
        source.path = path("");
        let through = TreeSelection::below([path("linked-fleet/shop/env")]);
        let pulled = git.pull(&source, &Wanted::Head, &through, &never()).await.unwrap();
        assert_eq!(paths(&pulled), ["linked-fleet/shop/env/base.env"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn submodules_and_pointers_are_refused_with_advice() {
    let world = World::with_stacks();
    let commit = world.git(&["rev-parse", "HEAD"]);
    let entry = format!("160000,{commit},stacks/shop/vendor");
    world.write(
        "stacks/shop/logo.png",
        "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
    );
    world.git(&["add", "-A"]);
    world.git(&["update-index", "--add", "--cacheinfo", &entry]);
    world.git(&["commit", "-q", "-m", "a submodule"]);
    world.git(&["push", "-q", "origin", "HEAD"]);
    each_way(&world, async |git, source| {
        let pulled = pull_all(&git, &source).await.unwrap();
        assert_eq!(paths(&pulled).len(), 4);
        assert_eq!(
            problems(&pulled),
            [
                "stacks/shop/vendor: this is a submodule, whose files are in another repository; `submodules: true` under the repository in the settings fetches it, so it is left out",
                "stacks/shop/logo.png: this is a Git LFS pointer, not the file itself; `lfs: true` under the repository in the settings fetches it, so it is left out",
            ]
        );
        assert!(pulled.problems.0.iter().all(|problem| !problem.help.is_empty()));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_exceeds_the_limits_is_said_and_not_silently_absent() {
    let world = World::with_stacks();
    world.write("stacks/shop/large.bin", vec![b'x'; 3000]);
    world.push("a large file");
    each_way(&world, async |git, mut source| {
        source.access.limits.file_bytes = 2000;
        let pulled = pull_all(&git, &source).await.unwrap();
        assert_eq!(paths(&pulled).len(), 4);
        assert_eq!(
            problems(&pulled),
            ["stacks/shop/large.bin: this file has 3000 bytes, and the limit is 2000, so it is left out"]
        );
        assert_eq!(pulled.problems.0[0].severity, Severity::Warning);
        source.access.limits.file_bytes = 4000;
        source.access.limits.tree_bytes = 2000;
        let pulled = pull_all(&git, &source).await.unwrap();
        assert!(pulled.problems.has_errors());
        source.access.limits.tree_bytes = 100_000;
        source.access.limits.files = 3;
        let pulled = pull_all(&git, &source).await.unwrap();
        assert_eq!(problems(&pulled), [".: the repository is too large to be read: it has more than 3 files"]);
        assert!(pulled.problems.has_errors());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_too_large_does_not_even_travel() {
    let world = World::with_stacks();
    world.allow_filters();
    // Noise that no compression makes small.
    let noise: Vec<u8> = (0_u64..6_000_000)
        .flat_map(|n| {
            n.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(17).wrapping_mul(n | 1).to_le_bytes()
        })
        .collect();
    world.write("stacks/shop/huge.bin", &noise);
    world.push("a huge file");
    let daemon = Daemon::start(&world);
    let mut source = source(&daemon.url());
    source.access.limits.file_bytes = 100_000;
    source.access.limits.tree_bytes = 1_000_000;
    let pulled = pull_all(&Git::new(&world.data()), &source).await.unwrap();
    assert_eq!(paths(&pulled).len(), 4);
    assert_eq!(problems(&pulled).len(), 1, "{:?}", problems(&pulled));
    assert!(problems(&pulled)[0].starts_with("stacks/shop/huge.bin: this file has"));
    assert!(pulled.traffic.pack_bytes < 20_000_000, "{:?} of {}", pulled.traffic, noise.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repository_with_other_object_names_is_refused_in_words() {
    let world = World::with_stacks();
    std::fs::remove_dir_all(world.bare()).unwrap();
    let made = super::world::git_in(world.root())
        .args(["init", "-q", "--bare", "-b", "main", "--object-format=sha256", "srv/fleet.git"])
        .status()
        .unwrap();
    assert!(made.success());
    let daemon = Daemon::start(&world);
    for url in [world.bare().to_str().unwrap(), &daemon.url()] {
        let problem = head(&Git::new(&world.data()), &source(url)).await.unwrap_err();
        assert_eq!(kind(&problem), "Unsupported", "{url}");
        let GitError::Unsupported { feature, .. } = problem else { panic!() };
        assert_eq!(feature, "SHA-256 object names");
    }
}

/// 100,000 files in 2,000 folders, 1 GB of noise: takes a minute and 2 GB of disk, so it runs only when asked for.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "makes a repository of a gigabyte"]
async fn a_large_repository_costs_what_its_few_manifests_cost() {
    let world = World::with_stacks();
    world.allow_filters();
    world.on_server(&["config", "core.compression", "0"]);
    import_noise(&world);
    let daemon = Daemon::start(&world);
    for url in [daemon.url(), world.bare().to_str().unwrap().to_owned()] {
        let source = source(&url);
        let git = Git::new(&world.data());
        for (what, selection) in [
            ("one stack", TreeSelection::below([path("fleet.yaml"), path("stacks/shop")])),
            ("one stack again", TreeSelection::below([path("fleet.yaml"), path("stacks/shop")])),
            ("all manifests", TreeSelection::named(["compose.yaml"])),
            ("all manifests again", TreeSelection::named(["compose.yaml"])),
        ] {
            let begun = std::time::Instant::now();
            let pulled = git.pull(&source, &Wanted::Head, &selection, &never()).await.unwrap();
            eprintln!("{url} {what}: {:?}, {:?}", begun.elapsed(), pulled.traffic);
            assert!(pulled.traffic.pack_bytes < 8_000_000);
            assert_eq!(paths(&pulled).len(), 2);
        }
    }
}

fn import_noise(world: &World) {
    use std::io::Write as _;
    let mut child = super::world::git_in(&world.bare())
        .args(["fast-import", "--quiet"])
        .stdin(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut stream = std::io::BufWriter::new(child.stdin.take().unwrap());
    let who = "Ada <ada@example.com> 1767322000 +0000";
    write!(
        stream,
        "commit refs/heads/main\ncommitter {who}\ndata 5\nnoise\nfrom refs/heads/main^0\n"
    )
    .unwrap();
    let mut state = 1_u64;
    for file in 0..100_000_u32 {
        let bytes: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 32).to_le_bytes()
        })
        .take(1250)
        .flatten()
        .collect();
        write!(stream, "M 644 inline src/d{}/f{file}.bin\ndata {}\n", file % 2000, bytes.len())
            .unwrap();
        stream.write_all(&bytes).unwrap();
        stream.write_all(b"\n").unwrap();
    }
    drop(stream);
    assert!(child.wait().unwrap().success());
}
