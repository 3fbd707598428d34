-- +goose Up

-- The label of a case by TLP 2.0; empty: as configured (mail.tlp).
alter table cases add column tlp text not null default ''
    check (tlp in ('', 'TLP:CLEAR', 'TLP:GREEN', 'TLP:AMBER', 'TLP:AMBER+STRICT', 'TLP:RED'));

-- Some ticket systems drop mail that says it is automatic (RFC 3834): for their
-- contacts a letter that a person approved does not say so.
alter table directory_entry add column silent boolean not null default false;
-- Some desks refuse a report that does not say where packets arrived: letters to
-- their contacts name the networks of our sensors, /24 and of IPv6 /48, never more.
alter table directory_entry add column networks boolean not null default false;
