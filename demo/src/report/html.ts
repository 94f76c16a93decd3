import type { Report } from './report.js';
export function reportHtml(report: Report): string {
  return `<p>${report.command}`;
}
