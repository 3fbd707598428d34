-- +goose Up

-- The label of a case by TLP 2.0; empty: as configured (mail.tlp).
alter table cases add column tlp text not null default ''
    check (tlp in ('', 'TLP:CLEAR', 'TLP:GREEN', 'TLP:AMBER', 'TLP:AMBER+STRICT', 'TLP:RED'));
