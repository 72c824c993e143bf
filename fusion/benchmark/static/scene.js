// A scene's page: all pictures zoom together.
import { find } from "../../static/dom.js";
import { zoomable } from "../../static/zoom.js";
import { sortTables } from "./sort.js";

sortTables();
const { fit } = zoomable(find(document, "#sheet", HTMLElement));
if (document.readyState === "complete") fit();
else addEventListener("load", fit);
