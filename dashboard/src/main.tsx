import { render } from "preact";
import { Root } from "./root";
import "uplot/dist/uPlot.min.css";
import "./style/base.css";
import "./style/header.css";
import "./style/table.css";
import "./style/why.css";
import "./style/charts.css";
import "./style/parts.css";
import "./style/nav.css";
import "./style/service.css";

const root = document.getElementById("app");
if (root) render(<Root />, root);
