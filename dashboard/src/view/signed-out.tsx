/** Instead of everything when monigo does not know who asks, or not any more. */
export function SignedOutPage({ why }: { why: string }) {
  return (
    <main class="blank">
      <div class="signed-out" role="alert">
        <img src="./favicon.svg" alt="" width="36" height="36" />
        <h1>Signed out</h1>
        <p>
          monigo does not know who asks, or not any more: it was started again, or what lets you in was changed.
        </p>
        {why && <p class="reason">{why}{/[.!?]$/.test(why) ? "" : "."}</p>}
        <button type="button" class="plain primary" onClick={() => { location.reload(); }}>Sign in again</button>
        <p class="muted">This page goes on by itself once another tab is signed in.</p>
      </div>
    </main>
  );
}
