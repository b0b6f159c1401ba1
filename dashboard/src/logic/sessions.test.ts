import { describe as about, expect, test } from "vitest";
import { home, format, parse, turned } from "./route";
import { describe, followed, offered, successor, type Session } from "./sessions";
import { setZone } from "./zone";

const session = (id: number, label: string, running: boolean, more: Partial<Session> = {}): Session => ({
  id, label, target: `/srv/${label}`, language: "go", process_id: 100 + id, process_ids: [100 + id],
  started: "2026-11-28T13:00:00Z", ended: running ? null : "2026-11-28T14:00:00Z", running, ...more,
});

about("the session that is shown", () => {
  test("is the latest that goes on", () => {
    expect(followed([], null)).toBeNull();
    expect(followed([session(3, "b", false), session(2, "a", true), session(1, "a", true)], null)).toBe(2);
    expect(followed([session(3, "b", false), session(2, "a", false)], null)).toBe(3);
  });

  test("stays with its target, also when that was started again", () => {
    expect(followed([session(4, "b", true), session(2, "a", true)], 2)).toBe(2);
    expect(followed([session(4, "b", true), session(2, "a", false)], 2)).toBe(2);
    expect(followed([session(6, "a", true), session(5, "a", true), session(4, "b", true), session(2, "a", false)], 2)).toBe(6);
    expect(successor([session(1, "a", true), session(2, "a", false)], session(2, "a", false))).toBeNull();
  });

  test("is another one when it was deleted", () => {
    expect(followed([session(4, "b", true)], 2)).toBe(4);
  });
});

about("the choice", () => {
  test("offers what is over up to a number, and what is shown in any case", () => {
    const many = Array.from({ length: 80 }, (_, index) => session(200 - index, "a", index === 70));
    const { running, over } = offered(many, 121);
    expect(running.map(({ id }) => id)).toEqual([130]);
    expect(over).toHaveLength(51);
    expect(over.at(-1)?.id).toBe(121);
  });

  test("tells sessions of one target apart", () => {
    setZone("UTC");
    expect(describe(session(2, "shop", true))).toBe("shop · pid 102 · since 13:00:00 · #2");
    expect(describe(session(1, "shop", false, { process_ids: [1, 2, 3], process_id: 1 }))).toBe("shop · pid 1 and 2 more · 13:00:00 to 14:00:00 · #1");
    expect(describe(session(3, "mail", true, { process_id: null, process_ids: [] }))).toBe("mail · no process yet · since 13:00:00 · #3");
  });

  test("is in the link, on every page", () => {
    const chosen = { ...home, session: 12 };
    expect(format(chosen)).toBe("#/?session=12");
    expect(parse(format({ ...chosen, ...turned("reports") })).session).toBe(12);
    for (const text of ["0", "-1", "x", "1e3", "99999999999999999999"]) expect(parse(`#/?session=${text}`).session, text).toBeNull();
  });
});
