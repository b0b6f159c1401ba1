-- Version 9: the bodies of functions that have several.

CREATE TABLE instances (
    session_id BIGINT NOT NULL,
    function_id INTEGER NOT NULL,
    name VARCHAR NOT NULL,
    linkage_name VARCHAR NOT NULL,
    address UBIGINT NOT NULL,
    file VARCHAR,
    line INTEGER,
    sites INTEGER NOT NULL,
    cost_class VARCHAR NOT NULL
);
COMMENT ON TABLE instances IS 'Bodies of the functions that have several, which count as one: generic instances, clones, statics of one name';
COMMENT ON COLUMN instances.address IS 'ELF virtual address of the first instruction';
COMMENT ON COLUMN instances.sites IS 'Probe sites, entry included';
COMMENT ON COLUMN instances.cost_class IS 'Dearest site: nop5, emulated or single-step';
