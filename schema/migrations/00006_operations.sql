-- Why: what the roles need to run: budgets of WeChat Pay's APIs, guards of calendar
--      jobs, the operators' audit log, and the platform certificates we fetched.
-- Lock: none that anybody waits for; all tables are new.
-- Back: DROP TABLE api_budgets, job_runs, audit, platform_certificates.

-- +goose Up

-- Tokens per merchant and API. Tokens are counted in thousandths: no floats.
CREATE TABLE api_budgets (
    mchid         text        NOT NULL,
    api           text        NOT NULL,
    milli_tokens  bigint      NOT NULL,
    milli_rate    bigint      NOT NULL,
    milli_burst   bigint      NOT NULL,
    refilled_at   timestamptz NOT NULL DEFAULT now(),
    halved_until  timestamptz,

    PRIMARY KEY (mchid, api),
    CONSTRAINT api_budgets_tokens_within_burst CHECK (milli_tokens BETWEEN 0 AND milli_burst),
    CONSTRAINT api_budgets_rate_is_positive    CHECK (milli_rate > 0)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- One row per run of a calendar job; mchid is empty where a job is for all merchants.
CREATE TABLE job_runs (
    mchid       text        NOT NULL DEFAULT '',
    job         text        NOT NULL,
    period      text        NOT NULL,
    state       text        NOT NULL,
    started_at  timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    leased_until timestamptz,
    attempts    integer     NOT NULL DEFAULT 1,
    detail      text        NOT NULL DEFAULT '',

    PRIMARY KEY (mchid, job, period),
    CONSTRAINT job_runs_state_is_known CHECK (state IN ('running', 'done', 'failed')),
    CONSTRAINT job_runs_done_has_its_time CHECK (state <> 'done' OR finished_at IS NOT NULL)
);

CREATE TABLE audit (
    mchid    text        NOT NULL DEFAULT '',
    audit_id uuid        NOT NULL,
    at       timestamptz NOT NULL DEFAULT now(),
    actor    text        NOT NULL,
    action   text        NOT NULL,
    subject  text        NOT NULL DEFAULT '',
    detail   jsonb       NOT NULL DEFAULT '{}',

    PRIMARY KEY (mchid, audit_id),
    CONSTRAINT audit_actor_is_set  CHECK (actor <> ''),
    CONSTRAINT audit_action_is_set CHECK (action <> '')
);

CREATE INDEX audit_by_time ON audit (at);

CREATE TRIGGER audit_is_append_only BEFORE UPDATE OR DELETE ON audit
    FOR EACH ROW EXECUTE FUNCTION refuse_change();
CREATE TRIGGER audit_is_never_emptied BEFORE TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- Public certificates, retired ones included: they verify what was received while they were valid.
CREATE TABLE platform_certificates (
    mchid        text        NOT NULL,
    serial       text        NOT NULL,
    pem          bytea       NOT NULL,
    effective_at timestamptz NOT NULL,
    expire_at    timestamptz NOT NULL,
    fetched_at   timestamptz NOT NULL,

    PRIMARY KEY (mchid, serial),
    CONSTRAINT platform_certificates_serial_is_set CHECK (serial <> ''),
    CONSTRAINT platform_certificates_life_is_positive CHECK (expire_at > effective_at)
);
