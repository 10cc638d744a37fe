"use strict";
// Each video holds two pictures side by side (recording | render, or two renders); this shows either, both or their difference on a canvas, in step by construction.
(() => {
  const capital = (text) => text[0].toUpperCase() + text.slice(1);

  function element(tag, properties = {}, ...children) {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  }

  function playable(video) {
    // Some browsers do not play data: URIs of this size; a blob of the same bytes always plays.
    const [head, body] = video.src.split(",");
    const bytes = Uint8Array.from(atob(body), (letter) => letter.charCodeAt(0));
    video.src = URL.createObjectURL(new Blob([bytes], { type: head.slice(5).split(";")[0] }));
  }

  function choices(name, label, entries, onChange) {
    const set = element("fieldset", {}, element("legend", { textContent: label }));
    entries.forEach(([value, text], index) => {
      const input = element("input", { type: "radio", name, value, checked: index === 0 });
      input.addEventListener("change", () => onChange(value));
      set.append(element("label", { className: "choice" }, input, element("span", { textContent: text })));
    });
    return set;
  }

  function start(player, number) {
    const figures = [...player.querySelectorAll("figure")];
    const videos = figures.map((figure) => figure.querySelector("video"));
    let current = 0, view = "both", wasPlaying = false;
    const canvas = element("canvas", { tabIndex: 0 });
    canvas.setAttribute("role", "img");
    const stage = element("div", { className: "stage" }, canvas);
    const caption = element("p", { className: "quiet" });
    const toggle = element("button", { type: "button", textContent: "Play" });
    const mute = element("button", { type: "button", textContent: "Mute" });
    mute.setAttribute("aria-pressed", "false");
    const seek = element("input", { type: "range", min: 0, step: 1, value: 0 });
    seek.setAttribute("aria-label", "Frame");
    const marks = (player.dataset.marks || "").split(" ").filter(Boolean);
    if (marks.length) { // ticks under the slider where the worst frames are
      seek.setAttribute("list", `marks-${number}`);
      player.append(element("datalist", { id: `marks-${number}` }, ...marks.map((mark) => element("option", { value: mark }))));
    }
    const time = element("output");
    const speed = element("select", {}, ...[1, 0.5, 0.25].map((rate) => element("option", { value: rate, textContent: `${rate}×` })));
    speed.setAttribute("aria-label", "Speed");
    const context = canvas.getContext("2d");
    const video = () => videos[current];
    const { left, right } = figures[0].dataset;
    const views = [["both", "Side by side"], ["reference", capital(left)], ["render", capital(right)], ["difference", "Difference"]];
    const fps = () => Number(figures[current].dataset.fps);
    const frames = () => Math.max(1, Math.round(video().duration * fps()) || 1);
    const position = () => Math.min(frames() - 1, Math.floor(video().currentTime * fps() + 1e-3));

    function draw() {
      const source = video();
      if (source.readyState < 2) return;
      const half = source.videoWidth / 2, height = source.videoHeight;
      const width = view === "both" ? 2 * half : half;
      if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
      const put = (x) => context.drawImage(source, x, 0, half, height, 0, 0, half, height);
      context.globalCompositeOperation = "source-over";
      context.filter = "none";
      if (view === "both") context.drawImage(source, 0, 0);
      else put(view === "render" ? half : 0);
      if (view === "difference") {
        context.globalCompositeOperation = "difference";
        put(half);
        context.globalCompositeOperation = "lighter"; // doubled and doubled again: differences times 4
        for (let i = 0; i < 2; i += 1) context.drawImage(canvas, 0, 0);
        context.globalCompositeOperation = "source-over";
      }
      seek.max = frames() - 1;
      seek.value = position();
      time.textContent = `${source.currentTime.toFixed(2)} s, frame ${position() + 1} of ${frames()}`;
    }

    function showPoster() {
      // Phones load no picture of a video before it is asked to play; until then the canvas shows its first frame.
      const first = new Image();
      first.addEventListener("load", () => {
        if (video().readyState >= 2) return;
        Object.assign(canvas, { width: first.naturalWidth, height: first.naturalHeight });
        context.drawImage(first, 0, 0);
      });
      first.src = video().poster;
    }

    function describe() {
      const figure = figures[current];
      const shown = { both: `left ${left}, right ${right}`, render: right, reference: left, difference: "difference times 4; black where they agree" }[view];
      caption.textContent = `${figure.dataset.protocol}: ${figure.dataset.says}. Shown: ${shown}.`;
      canvas.setAttribute("aria-label", caption.textContent);
      stage.classList.toggle("one", view !== "both");
      draw();
    }

    function follow() {
      draw();
      if (!video().paused) (video().requestVideoFrameCallback ? video().requestVideoFrameCallback(follow) : requestAnimationFrame(follow));
    }

    function goTo(frame) {
      if (video().requestVideoFrameCallback) video().requestVideoFrameCallback(draw); // "seeked" can come before the picture
      video().currentTime = (Math.max(0, Math.min(frames() - 1, frame)) + 0.5) / fps();
    }

    function playOrPause() {
      if (video().paused) video().play(); else video().pause();
    }

    function choose(index) {
      const from = video(), at = from.currentTime;
      wasPlaying = !from.paused;
      from.pause();
      current = index;
      video().muted = from.muted;
      video().playbackRate = from.playbackRate;
      video().currentTime = at;
      if (wasPlaying) video().play();
      describe();
    }

    videos.forEach((each, index) => {
      playable(each);
      each.removeAttribute("controls");
      figures[index].classList.add("offstage"); // not hidden: a hidden video is not decoded until it plays
      figures[index].setAttribute("aria-hidden", "true");
      each.tabIndex = -1;
      each.loop = true;
      each.addEventListener("loadeddata", () => { if (index === current) { goTo(0); describe(); } }, { once: true });
      each.addEventListener("seeked", draw);
      each.addEventListener("play", () => { toggle.textContent = "Pause"; follow(); });
      each.addEventListener("pause", () => { if (index === current) toggle.textContent = "Play"; draw(); });
    });
    toggle.addEventListener("click", playOrPause);
    canvas.addEventListener("click", playOrPause);
    mute.addEventListener("click", () => {
      video().muted = !video().muted;
      mute.setAttribute("aria-pressed", String(video().muted));
    });
    seek.addEventListener("input", () => { video().pause(); goTo(Number(seek.value)); });
    speed.addEventListener("change", () => { video().playbackRate = Number(speed.value); });
    canvas.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (event.key === " " || event.key === "Enter") playOrPause();
      else if (step) { video().pause(); goTo(position() + step); }
      else return;
      event.preventDefault();
    });

    const controls = element("div", { className: "controls" },
      toggle, element("div", { className: "seek" }, seek, time), mute, speed,
      choices(`view-${number}`, "Show", views, (value) => { view = value; describe(); }));
    if (videos.length > 1) {
      controls.append(choices(`source-${number}`, "Of", figures.map((figure, index) => [String(index), capital(figure.dataset.title)]), (value) => choose(Number(value))));
    }
    const keys = element("p", { className: "quiet keys", textContent: "Keys on the picture: space plays and pauses, ← and → step by a frame." });
    player.prepend(stage, controls, caption, keys);
    player.goTo = (frame, protocol) => {
      const index = figures.findIndex((figure) => figure.dataset.protocol === protocol);
      if (index >= 0 && index !== current) player.querySelector(`input[name="source-${number}"][value="${index}"]`).click();
      video().pause();
      goTo(frame);
      stage.scrollIntoView({ block: "nearest" });
      canvas.focus({ preventScroll: true });
    };
    showPoster();
    if (video().readyState >= 2) { goTo(0); describe(); }
  }

  document.querySelectorAll(".single video[src^='data:']").forEach(playable);
  document.querySelectorAll("[data-time]").forEach((button) => {
    const video = document.querySelector(".single video");
    button.hidden = false;
    button.addEventListener("click", () => {
      video.pause();
      video.currentTime = Number(button.dataset.time) + 0.001; // within the frame, not on its edge
      video.scrollIntoView({ block: "nearest" });
      video.focus({ preventScroll: true });
    });
  });

  const players = [...document.querySelectorAll("[data-player]")];
  players.forEach(start);
  document.querySelectorAll("[data-seek]").forEach((button) => {
    if (!players.length) return;
    button.hidden = false;
    button.addEventListener("click", () => players[0].goTo(Number(button.dataset.seek), button.dataset.of));
  });
})();
