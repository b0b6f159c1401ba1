//! Files that are not what they should be.

use super::*;

#[test]
fn wrong_files_are_named_for_what_they_are() {
    let (directory, file) = temporary();
    let error = Database::open_read_only(&file).expect_err("missing");
    assert!(matches!(error, StoreError::NotFound { .. }), "{error}");

    let error = Database::open(directory.path()).expect_err("directory");
    assert!(matches!(error, StoreError::IsDirectory { .. }), "{error}");

    let error = Database::open(&directory.path().join("none/run.duckdb")).expect_err("no parent");
    assert!(matches!(error, StoreError::NoDirectory { .. }), "{error}");

    fs::write(&file, "not a database\n".repeat(1000)).expect("writes");
    for result in [Database::open(&file), Database::open_read_only(&file)] {
        let error = result.expect_err("text");
        assert!(matches!(error, StoreError::NotADatabase { .. }), "{error}");
    }

    fs::remove_file(&file).expect("removes");
    let foreign = duckdb::Connection::open(&file).expect("opens");
    foreign
        .execute_batch("CREATE TABLE mine (a INT)")
        .expect("creates");
    drop(foreign);
    for result in [Database::open(&file), Database::open_read_only(&file)] {
        let error = result.expect_err("foreign");
        assert!(matches!(error, StoreError::NotMonigo { .. }), "{error}");
    }
}

#[test]
fn damage_is_noticed() {
    let (_directory, file) = temporary();
    fixture::record(&mut Database::open(&file).expect("opens"));
    let mut bytes = fs::read(&file).expect("reads");
    for byte in &mut bytes[4096..12_288] {
        *byte ^= 0x55;
    }
    fs::write(&file, &bytes).expect("writes");
    let error = Database::open(&file).expect_err("damaged");
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
    fs::write(&file, &bytes[..5000]).expect("truncates");
    let error = Database::open_read_only(&file).expect_err("truncated");
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
}
