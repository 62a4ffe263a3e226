-- By what the master key that the secrets are sealed under is known: a text sealed as they are.
create table master_key (
    id integer not null primary key check (id = 1),
    proof text not null
);
