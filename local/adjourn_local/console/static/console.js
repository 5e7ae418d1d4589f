// What a page does by itself: rows of attempts as they end, and a word when the console is gone.
"use strict";
const gone = document.getElementById("gone");
const again = 2000; // milliseconds

for (const name of ["htmx:sendError", "htmx:responseError"]) {
  document.body.addEventListener(name, () => { gone.hidden = false; });
}
document.body.addEventListener("htmx:afterOnLoad", () => { gone.hidden = true; });

// Each event brings rows that the server has made.
function follow(body) {
  const source = new EventSource(body.dataset.events);
  source.addEventListener("instance", (event) => {
    gone.hidden = true;
    // Another console: what this page shows is not there any more, and its forms are not accepted.
    if (event.data !== body.dataset.instance) location.reload();
  });
  source.addEventListener("troubles", (event) => {
    document.getElementById("troubles").innerHTML = event.data;
  });
  source.onerror = () => {
    gone.hidden = false;
    // The browser tries again by itself, unless there was an answer that is no stream.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => follow(body), again);
  };
  source.onmessage = (event) => {
    body.insertAdjacentHTML("afterbegin", event.data);
    while (body.rows.length > Number(body.dataset.most)) body.deleteRow(-1);
  };
}
for (const body of document.querySelectorAll("[data-events]")) follow(body);
