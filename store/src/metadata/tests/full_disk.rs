//! A disk that is full for a while: SQLite ends the transaction by itself, and the store goes on once there is room.
use super::Fixture;
use crate::StoreError;
use sqlx::Executor;

#[tokio::test]
async fn after_a_full_disk_changes_go_on() {
    let fixture = Fixture::sqlite().await.unwrap();
    let db = &fixture.metadata.db;
    let mut writing = db.begin().await.unwrap();
    writing.connection().execute("create table full_disk (bytes blob)").await.unwrap();
    assert!(writing.end(Ok(())).await.is_ok());
    // As many times as there are connections, and once more.
    for _ in 0..9 {
        let mut writing = db.begin().await.unwrap();
        // No page more than there are: SQLite answers as on a full disk.
        writing.connection().execute("pragma max_page_count = 1").await.unwrap();
        let large = "insert into full_disk values (zeroblob(1000000))";
        let refused = writing.connection().execute(large).await.unwrap_err();
        assert!(refused.to_string().contains("full"), "{refused}");
        assert!(writing.end::<()>(Err(StoreError::from(refused))).await.is_err());
        let writing = db.begin().await.unwrap();
        assert!(writing.end(Ok(())).await.is_ok());
    }
}
