//! One guest, and everything that can be done to it. Boots are slow, so few tests share few of them.

mod support;

use std::time::Duration;

use support::{GUEST, Home, OTHER, boot, echoes, echoing, exists, image};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn open_connections_outlive_a_freeze_a_live_migration_and_a_saved_state() {
    let Some(image) = image() else { return };
    let home = Home::new();
    let (mut guest, mut stream) = boot(&home, home.guest(image)).await;
    let id = guest.boot_id().expect("answered");
    guest.remember("before").expect("answered");

    guest.freeze().expect("frozen");
    stream.write_all(b"?").await.expect("written");
    let silent = timeout(Duration::from_millis(200), stream.read_u8()).await;
    assert!(silent.is_err(), "a frozen guest does not echo");
    guest.thaw().expect("thawed");
    assert_eq!(stream.read_u8().await.expect("thawed"), b'?');

    let first = guest.process();
    let migration = guest.migrate().expect("migrated");
    eprintln!("{migration:?}");
    assert!(
        guest.process() != first && !exists(first),
        "another QEMU has it"
    );
    assert!(migration.blackout.frames > 10, "{migration:?}");
    assert!(
        migration.blackout.longest >= migration.downtime / 2,
        "{migration:?}"
    );
    echoes(&mut stream, "migrated").await;
    assert_eq!(guest.boot_id().expect("answered"), id);
    assert_eq!(guest.recall().expect("answered"), "before");

    let state = home.directory.path().join("state");
    let uptime = guest.uptime().expect("answered");
    let saved_from = guest.process();
    let saved = guest.save(&state).expect("saved");
    eprintln!("saved in {:?}", saved.took);
    assert!(!exists(saved_from));
    let away = Duration::from_secs(3);
    tokio::time::sleep(away).await;
    let begun = std::time::Instant::now();
    let mut guest = saved.resume().map_err(|(_, error)| error).expect("resumed");
    eprintln!("resumed in {:?}", begun.elapsed());
    echoes(&mut stream, "resumed").await;
    assert_eq!(guest.boot_id().expect("answered"), id);
    let since = guest.uptime().expect("answered") - uptime;
    assert!(since < away, "its own time stood still: {since:?}");
    let behind = guest.clock_ahead().expect("answered");
    assert!(behind < -2.5, "its clock is {behind} s ahead");
    guest.set_clock(0).expect("set");
    let right = guest.clock_ahead().expect("answered");
    assert!(right.abs() < 0.5, "its clock is {right} s ahead");
    eprintln!("its clock was {behind} s ahead, and is {right} s ahead now");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn disks_memory_and_power() {
    let Some(image) = image() else { return };
    let home = Home::new();
    let (mut guest, mut stream) = boot(&home, home.guest(image)).await;
    let id = guest.boot_id().expect("answered");

    // Cut on the switch, one way and the other.
    let cut = home
        .switch
        .rule(OTHER, GUEST, gauntlet_machines::switch::Effect::Cut);
    stream.write_all(b"?").await.expect("written");
    let silent = timeout(Duration::from_millis(300), stream.read_u8()).await;
    assert!(silent.is_err(), "nothing gets there");
    assert!(guest.frames().dropped > 0);
    drop(cut);
    assert_eq!(stream.read_u8().await.expect("healed"), b'?');

    // Memory.
    let before = guest.memory().expect("answered");
    let took = guest
        .balloon(96, Duration::from_secs(20))
        .expect("given up");
    let after = guest.memory().expect("answered");
    eprintln!("32 MiB given up in {took:?}: {before:?}, {after:?}");
    assert!(
        after.total_kib + 30_000 < before.total_kib,
        "{before:?} {after:?}"
    );
    guest
        .balloon(128, Duration::from_secs(20))
        .expect("given back");

    // A snapshot of memory and disk: what came after it is gone.
    let (state, disk) = (
        home.directory.path().join("state"),
        home.directory.path().join("disk"),
    );
    guest.remember("early").expect("answered");
    guest.snapshot(&state, &disk).expect("kept");
    guest.remember("late").expect("answered");
    let guest = guest.kill();
    let mut guest = guest
        .revert(&state, &disk)
        .map_err(|(_, error)| error)
        .expect("reverted");
    assert_eq!(guest.recall().expect("answered"), "early");
    assert_eq!(guest.boot_id().expect("answered"), id);

    // A loss of power, and a boot from the same disk.
    guest.write("synced", "there").expect("written");
    guest.sync().expect("synced");
    guest.write("unsynced", "gone").expect("written");
    let process = guest.process();
    let guest = guest.kill();
    assert!(!exists(process));
    let (mut guest, mut stream) = boot(&home, guest).await;
    assert_ne!(guest.boot_id().expect("answered"), id, "another boot");
    assert_eq!(guest.recall().expect("answered"), "", "memory is lost");
    assert_eq!(guest.read("synced").expect("answered"), "there");
    assert_eq!(guest.read("unsynced").expect("answered"), "");

    // The program alone.
    guest.kill_program().expect("killed");
    let refused = async {
        let mut new = TcpStream::connect(home.door()).await?;
        new.read_u8().await
    };
    let refused = timeout(Duration::from_secs(2), refused)
        .await
        .expect("at once");
    assert!(
        refused.is_err(),
        "nothing listens in the guest: {refused:?}"
    );
    echoes(&mut stream, "a program of its own has this connection").await;
    guest.start_program().expect("started");
    let _ = echoing(&home).await;

    // The power button.
    let begun = std::time::Instant::now();
    let guest = guest
        .shut_down(Duration::from_secs(30))
        .map_err(|(_, error)| error);
    guest.expect("shut down");
    eprintln!("shut down in {:?}", begun.elapsed());
    let console = std::fs::read_to_string(home.directory.path().join("console.log"));
    assert!(console.expect("a console").contains("guest: off"));
}
