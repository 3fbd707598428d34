-- Who may be told is one rule of the program (attribution.MayTell). Its answer
-- is stored with each verdict, and queries ask for nothing else. Here it is
-- computed once for the verdicts there are.
alter table verdict add column tell boolean;
update verdict set tell = attention = '' and acknowledged = '' and not coalesce((evidence->>'weak')::boolean, false)
    and (kind in ('infected','misconfigured','scanner')
        or kind = 'backscatter' and coalesce(evidence->'notes' @> '["attack"]', false));
alter table verdict alter column tell set not null;
