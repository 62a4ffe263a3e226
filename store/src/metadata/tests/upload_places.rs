//! Uploads at replicas beside the one at the home.
use super::{Fixture, in_a_minute, object};
use crate::{BucketId, PlaceUpload, StoreError};
use s3gateway_config::BackendId;

pub(super) async fn uploads_at_replicas_are_kept_lost_left_and_looked_at(f: Fixture) {
    let (m, tenant) = (&f.metadata, f.tenant("acme").await);
    let bucket = f.bucket(&tenant, "photos").await.bucket;
    let [home, near, far] = ["fi-hel", "de-fra", "se-sto"].map(|id| BackendId::parse(id).unwrap());
    let key = object("k\u{0}");
    let place = |backend: &BackendId, id: &str, is_lost| PlaceUpload {
        backend: backend.clone(),
        upload_id: id.to_owned(),
        is_lost,
    };
    let places = [(far.clone(), "there".to_owned()), (near.clone(), "here".to_owned())];
    m.put_upload_places(&bucket, &key, &home, "u", &places).await.unwrap();
    m.put_upload_places(&bucket, &key, &home, "v", &[(near.clone(), "other".to_owned())]).await.unwrap();
    let of = async |id: &str| m.upload_places(&bucket, id).await.unwrap();
    assert_eq!(of("u").await, [place(&near, "here", false), place(&far, "there", false)]);
    assert_eq!(of("w").await, []);
    let clients = async |backend: &BackendId| {
        let mut ids = m.client_uploads(&bucket, &key, backend).await.unwrap();
        ids.sort();
        ids
    };
    assert_eq!(clients(&near).await, ["here", "other"]);
    assert!(m.client_uploads(&bucket, &object("k"), &near).await.unwrap().is_empty());

    m.lose_upload_place(&bucket, "u", &near).await.unwrap();
    assert_eq!(of("u").await, [place(&near, "here", true), place(&far, "there", false)]);
    assert_eq!((clients(&near).await, clients(&far).await), (vec!["other".to_owned()], vec!["there".to_owned()]));

    let lately = in_a_minute() - 120_000;
    assert!(m.open_places(lately, lately, 10).await.unwrap().is_empty(), "none has waited for long");
    assert_eq!(m.open_places(in_a_minute(), lately, 10).await.unwrap().len(), 2, "but for the one that is lost");
    assert_eq!(m.open_places(lately, in_a_minute(), 10).await.unwrap().len(), 1);
    assert_eq!(m.open_places(in_a_minute(), in_a_minute(), 2).await.unwrap().len(), 2);
    assert_eq!(m.open_places_at(&bucket, &near).await.unwrap().len(), 2);
    m.leave_upload_places(&bucket, "v").await.unwrap();
    let open = m.open_places(lately, lately, 10).await.unwrap();
    let [left] = &open[..] else { panic!("{open:?}") };
    assert_eq!((&left.bucket, &left.key, &left.home, &left.backend), (&bucket, &key, &home, &near));
    assert_eq!((&*left.upload_id, &*left.place_upload_id), ("v", "other"));
    assert!(m.claim_open_place(left).await.unwrap());
    assert!(!m.claim_open_place(left).await.unwrap(), "another has looked at it");
    assert!(m.open_places(lately, lately, 10).await.unwrap().is_empty());

    m.delete_upload_place(&bucket, "u", &near).await.unwrap();
    m.delete_upload_place(&bucket, "u", &near).await.unwrap();
    assert_eq!(of("u").await, [place(&far, "there", false)]);
    m.lose_upload_places(&bucket, "u").await.unwrap();
    assert_eq!(of("u").await, [place(&far, "there", true)]);
    m.put_upload_places(&bucket, &key, &home, "w", &places).await.unwrap();
    m.set_write_quorum(&bucket, 1).await.unwrap();
    assert!(of("w").await.iter().all(|place| place.is_lost), "nobody sends parts to them any more");
    let unknown = m.put_upload_places(&BucketId::new("nowhere"), &key, &home, "u", &places).await;
    assert!(matches!(unknown, Err(StoreError::NotFound)), "{unknown:?}");
}
