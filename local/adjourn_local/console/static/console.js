// Rows of attempts as they end: each event brings rows that the server has made.
"use strict";
for (const body of document.querySelectorAll("[data-events]")) {
  const said = document.getElementById("stream");
  const source = new EventSource(body.dataset.events);
  source.onopen = () => { said.textContent = "Attempts appear here as they end."; };
  source.onerror = () => { said.textContent = "The stack does not answer; trying again."; };
  source.onmessage = (event) => {
    body.insertAdjacentHTML("afterbegin", event.data);
    while (body.rows.length > Number(body.dataset.most)) body.deleteRow(-1);
  };
}
