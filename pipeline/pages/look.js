"use strict";
// The page is whole without this: here jobs are filtered, and a time in a transcript moves the player beside it.
(() => {
  const jobs = [...document.querySelectorAll(".job")];
  const form = document.querySelector(".tools");
  const shown = form.querySelector(".shown");
  const words = new Map(); // made when first searched: the text of a thousand jobs is not read for nothing
  const textOf = (job) => {
    if (!words.has(job)) words.set(job, job.textContent.toLowerCase());
    return words.get(job);
  };
  const filter = () => {
    const wanted = form.elements.words.value.trim().toLowerCase();
    const verdicts = new Set([...form.querySelectorAll("input:checked")].map((box) => box.value));
    let count = 0;
    for (const job of jobs) {
      const fits = verdicts.has(job.dataset.verdict) && (!wanted || textOf(job).includes(wanted));
      job.hidden = !fits;
      count += fits;
    }
    const all = jobs.length.toLocaleString("en");
    shown.textContent = count === jobs.length ? `${all} jobs` : `${count.toLocaleString("en")} of ${all} jobs`;
  };
  let waiting = 0;
  form.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(filter, 120);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = jobs.length < 2;
  filter();

  const reveal = () => {
    const job = document.getElementById(location.hash.slice(1));
    if (job !== null && job.hidden) job.hidden = false;
  };
  addEventListener("hashchange", reveal);

  document.addEventListener("click", (event) => {
    const time = event.target.closest("a[data-t]");
    const player = time && time.closest(".job").querySelector("audio, video");
    if (!player || player.error || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    player.currentTime = Number(time.dataset.t);
    player.play().catch(() => {});
  });
  document.addEventListener("play", (event) => {
    for (const other of document.querySelectorAll("audio, video")) if (other !== event.target) other.pause();
  }, true);
  document.addEventListener("timeupdate", (event) => {
    const job = event.target.closest(".job");
    let now = null;
    for (const time of job.querySelectorAll("a[data-t]")) {
      if (Number(time.dataset.t) > event.target.currentTime + 0.05) break;
      now = time.parentElement;
    }
    const before = job.querySelector("li[aria-current]");
    if (before === now) return;
    if (before) before.removeAttribute("aria-current");
    if (now) now.setAttribute("aria-current", "true");
  }, true);
})();
