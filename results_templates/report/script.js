"use strict";
(() => {
  // The warnings are folded; who goes to them wants to read them.
  const warnings = document.getElementById("warnings");
  const unfold = () => { if (warnings && location.hash === "#warnings") warnings.open = true; };
  window.addEventListener("hashchange", unfold);
  unfold();

  // A page from the disk may be denied the clipboard; the text is then selected and copied as by hand.
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const source = document.getElementById(button.dataset.copy);
      const text = [...source.children].map((paragraph) => paragraph.textContent).join("\n\n");
      try {
        await navigator.clipboard.writeText(text);
      } catch {
        getSelection().selectAllChildren(source);
        document.execCommand("copy");
      }
      button.textContent = "Copied";
      setTimeout(() => { button.textContent = "Copy the text"; }, 2000);
    });
  }

  const data = JSON.parse(document.getElementById("report-data").textContent);
  const table = document.getElementById("case-table");
  if (!table) return;
  const body = table.tBodies[0];
  const form = document.querySelector(".filters");
  const dialog = document.getElementById("case-dialog");
  const lines = [...body.rows];
  const headings = [...table.tHead.querySelectorAll("th[data-key]")];
  const words = new Intl.Collator("en", { numeric: true, sensitivity: "base" });
  const MINUS = "\u2212";

  // The rows in the order shown, hidden ones left out: what previous and next go through.
  let shown = data.rows.map((_, index) => index);
  let sorting = { key: "dice", direction: "ascending" };
  let opened = null;
  let opener = null;

  const valueOf = (row, key) => (key in row ? row[key] : row.values[data.places[key]]);

  function compare(key, direction) {
    const sign = direction === "ascending" ? 1 : -1;
    return (a, b) => {
      const [left, right] = [valueOf(data.rows[a], key), valueOf(data.rows[b], key)];
      if (left === null || right === null) return (left === null) - (right === null) || a - b;
      const difference = typeof left === "string" ? words.compare(left, right) : left - right;
      return sign * difference || a - b;
    };
  }

  function fits(row) {
    const field = (name) => form.elements[name]?.value ?? "";
    const name = field("name").trim().toLowerCase();
    const below = parseFloat(field("below"));
    return (
      (!name || row.case.toLowerCase().includes(name)) &&
      (!field("model") || row.model === field("model")) &&
      (!field("label") || row.label === field("label")) &&
      (!field("fold") || String(row.fold) === field("fold")) &&
      (!field("state") || data.states[field("state")].includes(row.state)) &&
      (Number.isNaN(below) || valueOf(row, "dice") < below)
    );
  }

  function update() {
    const order = data.rows.map((_, index) => index).sort(compare(sorting.key, sorting.direction));
    shown = order.filter((index) => fits(data.rows[index]));
    const visible = new Set(shown);
    lines.forEach((line, index) => { line.hidden = !visible.has(index); });
    body.append(...order.map((index) => lines[index]));
    for (const heading of headings) {
      const sorted = heading.dataset.key === sorting.key;
      heading.setAttribute("aria-sort", sorted ? sorting.direction : "none");
    }
    showColumn(sorting.key);
    if (sorting.key in data.places) form.elements.sort.value = sorting.key;
    table.classList.toggle("every", form.elements.extra.checked);
    table.classList.toggle("one-model", Boolean(form.elements.model?.value));
    form.querySelector(".count").textContent = `${shown.length} of ${data.rows.length} rows`;
    document.querySelector(".nothing").hidden = shown.length > 0;
  }

  // A metric that is not among the main ones shows its column while the table is sorted by it.
  function showColumn(key) {
    for (const cell of table.querySelectorAll(".extra.shown")) cell.classList.remove("shown");
    const heading = headings.find((candidate) => candidate.dataset.key === key);
    if (!heading?.classList.contains("extra")) return;
    const place = heading.cellIndex;
    for (const line of table.rows) line.cells[place].classList.add("shown");
  }

  const firstDirection = (key) => data.directions[key] ?? "ascending";

  function sortBy(key, direction) {
    sorting = { key, direction };
    update();
  }

  function formatted(value, place) {
    if (value === null) return "–";
    const text = value.toFixed(data.whole[place] && Number.isInteger(value) ? 0 : data.decimals[place]);
    return Number(text) === 0 ? text.replace("-", "") : text.replace("-", MINUS);
  }

  // The large pictures lie in the page as text that no browser decodes before it is asked for.
  function sheetOf(index) {
    const holder = document.getElementById(`sheet-${index}`);
    return holder ? holder.src || holder.textContent : "";
  }

  function element(name, text) {
    const made = document.createElement(name);
    made.textContent = text;
    return made;
  }

  const sheetPicture = dialog.querySelector("figure img");
  const fullSize = dialog.querySelector(".full-size");
  const ownPage = dialog.querySelector(".own-page");
  const enlarged = () => sheetPicture.classList.contains("natural");

  function enlarge(on) {
    sheetPicture.classList.toggle("natural", on);
    fullSize.setAttribute("aria-pressed", String(on));
  }

  function open(index) {
    const row = data.rows[index];
    const place = shown.indexOf(index);
    opened = index;
    dialog.querySelector("#dialog-title").textContent = row.case;
    dialog.querySelector(".place").textContent = place < 0 ? "not in the table as filtered" : `${place + 1} of ${shown.length}`;
    const facts = [row.model, row.label, row.fold === null ? "" : `fold ${row.fold}`, data.words[row.state]];
    dialog.querySelector(".dialog-detail").textContent = facts.filter(Boolean).join(", ");
    const others = data.rows.map((_, other) => other).filter((other) => other !== index && data.rows[other].case === row.case);
    dialog.querySelector(".others").replaceChildren(
      ...others.map((other) => {
        const one = data.rows[other];
        const button = element("button", `${one.model}, ${one.label}: Dice ${formatted(valueOf(one, "dice"), data.places.dice)}`);
        button.type = "button";
        button.addEventListener("click", () => open(other));
        return button;
      }),
    );
    const picture = sheetPicture;
    const sheet = sheetOf(index);
    picture.parentElement.hidden = !sheet;
    ownPage.hidden = !row.page;
    if (row.page) ownPage.href = row.page;
    fullSize.hidden = !sheet;
    enlarge(false);
    if (sheet) picture.src = sheet;
    else picture.removeAttribute("src");
    picture.alt = row.alt;
    dialog.querySelector(".values").replaceChildren(
      ...row.values.map((value, number) => {
        const pair = document.createElement("div");
        pair.append(element("dt", data.titles[number]), element("dd", formatted(value, number)));
        return pair;
      }),
    );
    dialog.querySelector(".why").textContent = row.values.includes(null) ? `– ${row.why}` : "";
    for (const button of dialog.querySelectorAll("[data-go='-1'], [data-go='1']")) button.disabled = shown.length < 2;
    if (!dialog.open) dialog.showModal();
    dialog.querySelector(".dialog-body").scrollTop = 0;
  }

  function go(step) {
    if (!shown.length) return;
    const place = shown.indexOf(opened);
    const start = place < 0 && step > 0 ? -1 : Math.max(place, 0);
    open(shown[(start + step + shown.length) % shown.length]);
  }

  for (const heading of headings) {
    const button = element("button", heading.textContent.trim());
    button.type = "button";
    const printed = element("span", button.textContent);
    printed.className = "printed";
    heading.replaceChildren(button, printed);
    button.addEventListener("click", () => {
      const key = heading.dataset.key;
      const turned = sorting.direction === "ascending" ? "descending" : "ascending";
      sortBy(key, sorting.key === key ? turned : firstDirection(key));
    });
  }
  form.hidden = false;
  form.addEventListener("submit", (event) => event.preventDefault());
  function changed(event) {
    if (event.target.name === "sort") sortBy(event.target.value, firstDirection(event.target.value));
    else update();
  }
  form.addEventListener("input", changed);
  form.addEventListener("change", changed);
  form.addEventListener("reset", () => setTimeout(() => sortBy("dice", "ascending")));

  document.addEventListener("click", (event) => {
    const named = event.target.closest("[data-case]");
    const button = event.target.closest("[data-open]");
    const line = event.target.closest("#case-table tbody tr");
    const index = named
      ? data.rows.findIndex(
          ({ case: name, model, label }) =>
            name === named.dataset.case &&
            (!named.dataset.model || model === named.dataset.model) &&
            (!named.dataset.label || label === named.dataset.label),
        )
      : Number((button ?? line)?.dataset[button ? "open" : "row"] ?? -1);
    if (index < 0 || dialog.open || event.target.closest("a")) return;
    opener = event.target.closest("button") ?? line?.querySelector("button");
    open(index);
  });
  dialog.addEventListener("close", () => opener?.focus());
  dialog.addEventListener("click", (event) => {
    const goal = event.target.closest("[data-go]")?.dataset.go;
    if (goal === "close" || event.target === dialog) dialog.close();
    else if (goal) go(Number(goal));
    if (event.target.matches("figure img, .full-size")) enlarge(!enlarged());
  });
  dialog.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    // At full size the arrows move the picture, not on to another case.
    if (enlarged()) sheetPicture.parentElement.scrollBy({ left: 80 * step });
    else go(step);
    event.preventDefault();
  });

  let folded = [];
  window.addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll("details:not([open])")];
    for (const details of folded) details.open = true;
  });
  window.addEventListener("afterprint", () => {
    for (const details of folded) details.open = false;
  });
  update();
})();
