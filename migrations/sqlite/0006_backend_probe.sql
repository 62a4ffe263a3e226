-- What was measured of a backend last, as JSON: when, and each finding with its evidence. Empty until it is probed.
alter table backends add column probe text not null default '';
