import { tryScenarios } from './scenarios.ts';

tryScenarios(2, 3);
